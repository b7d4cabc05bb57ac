"""The texts next to the documents for KServe: the container file, and what to do with all of it."""

import json
from collections.abc import Sequence

from xception.bundle import Bundle
from xception.serve.limits import MIB
from xception.version import __version__

READY = "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/v2/health/ready')"


def container_file(command: Sequence[str], *, image: str, extras: Sequence[str], digest: str) -> str:
    """The container file of the service, on top of the server's image that the project's own container file makes."""
    return f"""# The command of this service. The server's own image is made in the folder of the project:
#   docker build --target serve --build-arg EXTRAS={",".join(extras)} -t xception-serve:{__version__} .
# Then here:
#   docker build -t {image} .
# It runs without KServe, too:
#   docker run --read-only --tmpfs /tmp --cap-drop ALL -p 8080:8080 -v "$PWD/bundle:/mnt/models:ro" {image}
FROM xception-serve:{__version__}
LABEL xception-bundle-digest="{digest}"
USER 1000
EXPOSE 8080
HEALTHCHECK CMD {json.dumps(["python", "-c", READY])}
CMD {json.dumps(list(command))}
"""


def readme(name: str, bundle: Bundle, *, image: str, storage_uri: str, memory: int) -> str:
    """The page of the folder."""
    return f"""# {name} for KServe

Bundle `{bundle.model.digest}`,
written by xception {__version__}.

| file | content |
| --- | --- |
| `bundle/` | what has to lie at `{storage_uri}` |
| `Dockerfile` | the image `{image}` |
| `runtime.yaml` | the ServingRuntime: container, probes, limits |
| `service.yaml` | the InferenceService: the bundle, and the number of copies |

## Start it

Make the image as the first lines of `Dockerfile` say, push it to where the cluster gets its images, and copy `bundle/`
to `{storage_uri}`. Then:

```
kubectl apply -f runtime.yaml -f service.yaml
kubectl wait --for=condition=Ready inferenceservice/{name}
```

The server refuses to start with another bundle than this one, whatever lies at the storage URI. Clients ask for the
model `{name}` in the Open Inference Protocol v2, and send photographs as they are.

## What it needs

- KServe in its mode `Standard`, and KEDA, which adds and removes copies.
- Prometheus, which reads `/metrics` of each copy: the annotations of the pods name the port and the path. Its own
  address is in `service.yaml`, as `serverAddress`.
- {memory // MIB:,} MiB of memory per copy: what the model was measured to take when this was written, and the most that
  the server's limits allow for requests.

Copies are added while images wait longer than the target in `service.yaml`, in seconds, on average over the copies.

The server lets everybody in who reaches it, as KServe expects: let the gateway ask for keys, and a NetworkPolicy say
who reaches the pods.

For several bundles, put a folder of them at the storage URI, and leave `{{{{.Name}}}}=` out of the arguments in
`runtime.yaml` and `--digest` out of those in `service.yaml`; each model then has the name of its folder.

## Tested configurations

- Run: the bundle was verified, loaded as the server loads it, and answered images; its memory was measured.
- Not run: a container, or a cluster.
"""
