"""`xception serve`"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from xception.cli.engine import DEFAULT_ENGINE, EngineOptions
from xception.cli.models import open_model
from xception.cli.options import MODEL_HELP, NoVerify
from xception.cli.output import print_facts, say
from xception.errors import UsageError
from xception.extras import require_all
from xception.pipeline.requirements import packages_to_run
from xception.serve.addresses import Tls, is_loopback
from xception.serve.keys import NAME
from xception.serve.limits import DEFAULT_LIMITS, Limits
from xception.serve.model import served_name

PACKAGES = ("granian", "prometheus_client", "python_multipart", "starlette")


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Listening:
    """The address, and who may ask there."""

    address: str = "127.0.0.1"
    """Address to listen on; another than this machine's own needs --api-keys or --open."""
    port: int = 8000
    """Port to listen on."""
    api_keys: Path | None = None
    """File of the keys of those who may ask; see xception serve-key."""
    open: bool = False
    """Let everybody ask who reaches the address."""
    host_name: tuple[str, ...] = ()
    """Name under which the server may be asked, in addition to its address; may be repeated."""
    tls_certificate: Path | None = None
    """Certificate of the server, PEM, with those between it and its authority."""
    tls_key: Path | None = None
    """Key of the certificate, PEM."""
    tls_clients: Path | None = None
    """Certificates of authorities, PEM; only clients with a certificate of one of them are let in."""

    def check(self) -> None:
        """Refuse to let strangers in by mistake.

        Raises:
            UsageError: an address of others without keys, half a certificate, or a port that is none.
        """
        if not 0 < self.port < 65536:
            raise UsageError(f"--port is {self.port}; expected 1 to 65535")
        if self.open and self.api_keys:
            raise UsageError("--open lets everybody ask and --api-keys only some; choose one")
        if not (is_loopback(self.address) or self.open or self.api_keys):
            raise UsageError(
                f"others reach the address {self.address}; pass --api-keys FILE, or --open to let everybody ask"
            )
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise UsageError("a certificate goes with its key; pass both --tls-certificate and --tls-key")
        if self.tls_clients and not self.tls_certificate:
            raise UsageError("--tls-clients goes with a certificate of the server; pass --tls-certificate, too")

    @property
    def tls(self) -> Tls | None:
        """The certificate, if there is one."""
        if self.tls_certificate is None or self.tls_key is None:
            return None
        return Tls(certificate=self.tls_certificate, key=self.tls_key, clients=self.tls_clients)


DEFAULT_LISTENING = Listening()


def serve(
    *models: Annotated[str, Parameter(help=MODEL_HELP)],
    listening: Listening = DEFAULT_LISTENING,
    engine: EngineOptions = DEFAULT_ENGINE,
    limits: Annotated[Limits, Parameter(name="*")] = DEFAULT_LIMITS,
    no_verify: NoVerify = False,
) -> None:
    """Answer over HTTP: the Open Inference Protocol v2 for programs, and /v1/classify for photos.

    ```
    xception serve runs/digits/bundle
    xception serve a=runs/digits/bundle b=keras_xception.imagenet --port 9000
    xception serve runs/digits/bundle --address 0.0.0.0 --api-keys keys.txt
    ```

    A model may have a name in front of it, as in NAME=MODEL, under which it is asked; else it has its own.
    """
    listening.check()
    engine.check()
    if not models:
        raise UsageError("no model is named; expected one or more, as in xception serve keras_xception.imagenet")
    references = [named_reference(model) for model in models]
    runtimes = {package for _, model in references for package in packages_to_run(model, engine.backend)}
    require_all(*PACKAGES, *sorted(runtimes))
    from xception.serve.server import ServerSettings, serve_bundles

    settings = ServerSettings(
        bundles=_bundles(references, verify=not no_verify),
        address=listening.address,
        port=listening.port,
        limits=limits,
        backend=engine.backend,
        compute=engine.compute,
        mode=engine.pixels,
        batch_size=engine.batch,
        workers=engine.workers,
        verify=not no_verify,
        keys=listening.api_keys,
        tls=listening.tls,
        host_names=frozenset(listening.host_name),
    )
    print_facts({name: f"{value:,}" for name, value in asdict(limits).items()})
    serve_bundles(settings, say)


def named_reference(text: str) -> tuple[str | None, str]:
    """The name in front of a model, if there is one, and the model."""
    name, sign, model = text.partition("=")
    return (name, model) if sign and NAME.fullmatch(name) else (None, text)


def _bundles(references: Sequence[tuple[str | None, str]], *, verify: bool) -> dict[str, Path]:
    """The folders of the models' bundles, fetched and converted where needed, by the names to serve them under."""
    found: dict[str, Path] = {}
    for given, reference in references:
        opened = open_model(reference, verify=verify)
        name = served_name(opened, given)
        if name in found:
            raise UsageError(f"two models are called {name!r}; put another name in front of one, as in NAME=MODEL")
        found[name] = opened.path
    return found
