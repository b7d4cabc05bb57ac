"""A bundle as a service of KServe: a runtime and a service with autoscaling, the container, and the commands for them.

The bundle is loaded as the server loads it, in a process of its own, so that the limit of memory is what it takes here.
"""

import multiprocessing
import re
import shutil
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from xception.bundle import Bundle, open_bundle
from xception.errors import CheckFailed, UsageError
from xception.export.kserve_readme import container_file, readme
from xception.export.request import ExportRequest
from xception.extras import EXTRAS, require
from xception.machine import peak_memory_bytes
from xception.outputs import ensure_free, staged_folder
from xception.pipeline.requirements import packages_to_run
from xception.serve.limits import DEFAULT_LIMITS, MIB
from xception.serve.model import VERSION_CHARACTERS

RUNTIME, SERVICE, CONTAINER, README, BUNDLE = "runtime.yaml", "service.yaml", "Dockerfile", "README.md", "bundle"
KSERVE_CONTENT = frozenset({RUNTIME, SERVICE, CONTAINER, README, BUNDLE})

SERVICE_NAME = re.compile(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?")
"""Names of services: what the cluster makes of them, with its own endings, has to be a name in its domain."""

MOUNT = "/mnt/models"
"""The place at which KServe puts what lies at the storage URI."""

EVERYWHERE = "0.0.0.0"  # noqa: S104  # in the container, which has an address of its own
PORT = 8080
USER = 1000
"""The user of the container file, who is not root."""

CPUS = 2
MIN_COPIES, MAX_COPIES = 1, 4

DELAY_S = 5
"""Time in which the cluster learns that a copy is about to end, and sends it nothing more."""

MAX_QUEUE_WAIT_S = 0.1
"""Mean time in the queue for which copies are added: a multiple of one image's, and a small part of a deadline."""

WAIT_OVER_S = 60
"""Time over which it is averaged: two or more readings of Prometheus at its usual intervals."""

PROMETHEUS = "http://prometheus-operated.monitoring:9090"
"""The address that Prometheus has in a cluster where its own operator installed it."""

DIGEST, VERSION = "xception-bundle-digest", "xception-bundle-version"
"""Annotation and label with the bundle's digest and its beginning; a label is too short for all of it."""

MEMORY_STEP = 64 * MIB


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes of one copy."""

    loaded: int
    """The listening process, and the one that holds the model, before any request."""
    most: int
    """The same, and all that requests may take."""


def write(request: ExportRequest) -> Path:
    """Write the service, named like its folder, with the bundle that is to be put at the storage URI.

    Raises:
        UsageError: the name or the storage URI is none.
        InputError: the place holds something that is not to be replaced, or the bundle is not whole.
        EnvironmentFault: the model fails at an image.
        CheckFailed: the copy is not the bundle; nothing is left behind.
    """
    bundle, out = request.bundle, request.out
    if not SERVICE_NAME.fullmatch(out.name):
        raise UsageError(
            f"the service would be called {out.name!r}, like its folder; expected up to 40 small letters, digits and "
            "hyphens, with a letter first"
        )
    if not request.storage_uri or "://" not in request.storage_uri:
        raise UsageError(
            f"--storage-uri is {request.storage_uri!r}; expected the place of the bundle for the cluster, such as "
            "s3://BUCKET/FOLDER or pvc://CLAIM/FOLDER"
        )
    ensure = partial(ensure_free, out, "a service for KServe", only=KSERVE_CONTENT, overwrite=request.overwrite)
    ensure()
    with staged_folder(out, ensure) as folder:
        copied = _copied(bundle, folder / BUNDLE)
        for name, text in texts(copied, out.name, request, measured_memory(copied)).items():
            (folder / name).write_text(text, encoding="utf-8")
    return out


def _copied(bundle: Bundle, place: Path) -> Bundle:
    shutil.copytree(bundle.path, place)
    copied = open_bundle(place, verify=True)
    if copied.model.digest != bundle.model.digest:
        raise CheckFailed(f"{bundle.path} changed while it was copied; nothing was written; try again")
    return copied


def texts(bundle: Bundle, name: str, request: ExportRequest, memory: Memory) -> dict[str, str]:
    """All files but the bundle, by their names."""
    storage_uri, digest = request.storage_uri or "", bundle.model.digest
    image = request.image or f"{name}:{digest[:VERSION_CHARACTERS]}"
    runtime = runtime_document(name, bundle, image, memory)
    service = service_document(name, bundle, storage_uri, request.prometheus or PROMETHEUS)
    extras = sorted({"serve", "fast", *(EXTRAS[package] for package in packages_to_run(bundle))})
    command = command_of(runtime, service, name)
    return {
        RUNTIME: _yaml(runtime),
        SERVICE: _yaml(service),
        CONTAINER: container_file(command, image=image, extras=extras, digest=digest),
        README: readme(name, bundle, image=image, storage_uri=storage_uri, memory=memory.most),
    }


def measured_memory(bundle: Bundle) -> Memory:
    """The memory of one copy, of which the model's part is measured in a process that loads it as the server does."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        listening, loaded, requests = pool.submit(_memory_of, bundle.path).result()
    return Memory(loaded=listening + loaded, most=listening + loaded + requests)


def _memory_of(path: Path) -> tuple[int, int, int]:
    """Bytes of a process that listens, of one with the model, and of requests at most."""
    from xception.serve.server import ServerSettings, memory_bytes, open_service

    listening = peak_memory_bytes() or 0
    settings = ServerSettings(
        bundles={"model": path}, address=EVERYWHERE, port=PORT, limits=DEFAULT_LIMITS, workers=CPUS
    )
    service = open_service(settings)
    try:
        return listening, *memory_bytes(service)
    finally:
        service.close()


def runtime_document(name: str, bundle: Bundle, image: str, memory: Memory) -> dict[str, Any]:
    """The ServingRuntime: the container, and how KServe starts, asks and limits it."""
    container = {
        "name": "kserve-container",
        "image": image,
        "args": [
            *(f"{{{{.Name}}}}={MOUNT}", "--address", EVERYWHERE, "--port", str(PORT), "--open"),
            *("--shutdown-delay-s", str(DELAY_S)),
        ],
        "ports": [{"containerPort": PORT, "protocol": "TCP"}],
        "startupProbe": _probe("ready", period_s=2, failures=150),
        "readinessProbe": _probe("ready", period_s=1, failures=1),
        "livenessProbe": _probe("live", period_s=10, failures=3),
        "resources": {
            "requests": {"cpu": str(CPUS), "memory": _quantity(memory.loaded)},
            "limits": {"cpu": str(CPUS), "memory": _quantity(memory.most)},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "privileged": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "runAsUser": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumeMounts": [{"name": "cache", "mountPath": "/tmp"}],  # noqa: S108  # in the container
    }
    scraped = {
        **{f"prometheus.io/{key}": value for key, value in (("scrape", "true"), ("port", str(PORT)))},
        "prometheus.kserve.io/port": str(PORT),
        "prometheus.kserve.io/path": "/metrics",
    }
    return {
        "apiVersion": "serving.kserve.io/v1alpha1",
        "kind": "ServingRuntime",
        "metadata": _metadata(name, bundle),
        "spec": {
            "annotations": scraped,
            "supportedModelFormats": [{"name": "xception", "version": "1", "autoSelect": False}],
            "protocolVersions": ["v2"],
            "containers": [container],
            "volumes": [{"name": "cache", "emptyDir": {"sizeLimit": "64Mi"}}],
        },
    }


def service_document(name: str, bundle: Bundle, storage_uri: str, prometheus: str) -> dict[str, Any]:
    """The InferenceService: the bundle, and the number of its copies by the time that images wait."""
    metric = {
        "type": "External",
        "external": {
            "metric": {"backend": "prometheus", "serverAddress": prometheus, "query": waiting_query(name)},
            "target": {"type": "Value", "value": str(MAX_QUEUE_WAIT_S)},
        },
    }
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": _metadata(
            name,
            bundle,
            **{"serving.kserve.io/deploymentMode": "Standard", "serving.kserve.io/autoscalerClass": "keda"},
        ),
        "spec": {
            "predictor": {
                "minReplicas": MIN_COPIES,
                "maxReplicas": MAX_COPIES,
                "autoScaling": {"metrics": [metric]},
                "deploymentStrategy": {
                    "type": "RollingUpdate",
                    "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
                },
                "terminationGracePeriodSeconds": DELAY_S + DEFAULT_LIMITS.drain_s + DELAY_S,
                "automountServiceAccountToken": False,
                "model": {
                    "modelFormat": {"name": "xception", "version": "1"},
                    "protocolVersion": "v2",
                    "runtime": name,
                    "storageUri": storage_uri,
                    "args": ["--digest", bundle.model.digest],
                },
            }
        },
    }


def waiting_query(name: str) -> str:
    """Prometheus' question for the mean time in the queue of each copy, added up: KEDA divides by the copies, and
    compares that with the target."""
    sums, counts = (
        f'rate(xception_queue_seconds_{part}{{model="{name}"}}[{WAIT_OVER_S}s])' for part in ("sum", "count")
    )
    return f"sum(({sums} / {counts}) > 0)"


def command_of(runtime: Mapping[str, Any], service: Mapping[str, Any], name: str) -> list[str]:
    """The arguments that KServe makes of both documents: the runtime's and then the service's, with its name put in."""
    (container,) = runtime["spec"]["containers"]
    arguments = [*container["args"], *service["spec"]["predictor"]["model"]["args"]]
    return [argument.replace("{{.Name}}", name) for argument in arguments]


def _metadata(name: str, bundle: Bundle, **annotations: str) -> dict[str, Any]:
    digest = bundle.model.digest
    return {
        "name": name,
        "labels": {VERSION: digest[:VERSION_CHARACTERS]},
        "annotations": {DIGEST: digest, **annotations},
    }


def _probe(question: str, *, period_s: int, failures: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": f"/v2/health/{question}", "port": PORT},
        "periodSeconds": period_s,
        "timeoutSeconds": 5 if question == "live" else 1,
        "failureThreshold": failures,
    }


def _quantity(size: int) -> str:
    return f"{-(-size // MEMORY_STEP) * (MEMORY_STEP // MIB)}Mi"


def _yaml(document: Mapping[str, Any]) -> str:
    yaml: Any = require("yaml", "vendors")
    return str(yaml.safe_dump(document, sort_keys=False, width=120))
