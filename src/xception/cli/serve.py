"""`xception serve`"""

import logging
import traceback
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from math import inf
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from xception.bundle import Bundle
from xception.cli.engine import EngineOptions
from xception.cli.failures import Ending, ending_of
from xception.cli.models import open_model
from xception.cli.options import MODEL_HELP, NoVerify
from xception.cli.origin import COMMAND
from xception.cli.output import print_facts, say
from xception.errors import InputError, UsageError
from xception.extras import require_all
from xception.pipeline.requirements import packages_to_run
from xception.resolve import bundle_folder
from xception.serve.addresses import Tls, is_loopback
from xception.serve.keys import NAME
from xception.serve.limits import DEFAULT_LIMITS, Limits
from xception.serve.model import VERSION_CHARACTERS, served_name

PACKAGES = ("granian", "prometheus_client", "python_multipart", "starlette")


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Listening:
    """The address, and who may ask there."""

    address: str = "127.0.0.1"
    """Address to listen on. One that other machines reach needs --api-keys or --open."""
    port: int = 8000
    """Port to listen on."""
    grpc_port: int | None = None
    """Port to listen on for gRPC, too."""
    api_keys: Path | None = None
    """File with the keys of those who may ask; xception serve-key makes its lines."""
    open: bool = False
    """Answer everybody who reaches the address."""
    host_name: tuple[str, ...] = ()
    """Name by which clients may address the server, in addition to its address; may be repeated."""
    tls_certificate: Path | None = None
    """Certificate of the server in PEM, together with those between it and its authority."""
    tls_key: Path | None = None
    """Key of the server's certificate in PEM."""
    tls_clients: Path | None = None
    """Certificates of authorities in PEM. Only clients with a certificate of one of them are let in."""
    shutdown_delay_s: float = 0.0
    """Seconds after SIGTERM in which the server still answers, but says that it is not ready. Load balancers so turn
    away from it before it ends."""

    def check(self) -> None:
        """Refuse to let strangers in by mistake.

        Raises:
            UsageError: an address of others without keys, half a certificate, or a port that is none.
        """
        if not 0 <= self.shutdown_delay_s < inf:
            raise UsageError(f"--shutdown-delay-s is {self.shutdown_delay_s:g}; expected seconds from 0")
        if not 0 < self.port < 65536:
            raise UsageError(f"--port is {self.port}; expected 1 to 65535")
        if self.grpc_port is not None and not 0 < self.grpc_port < 65536:
            raise UsageError(f"--grpc-port is {self.grpc_port}; expected 1 to 65535")
        if self.grpc_port == self.port:
            raise UsageError(f"--port and --grpc-port are both {self.port}; choose two")
        if self.open and self.api_keys:
            raise UsageError("--open admits everybody and --api-keys only some; choose one")
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


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ServingOptions(EngineOptions):
    """The runtime, its part of the machine, and the size of a batch, for images that come one by one."""

    readers: Annotated[
        int | None,
        Parameter(
            help="Threads that read and prepare images, a batch each, and give it to the network (default: one per "
            "core; on a GPU one more than cores, and one per inference at once)."
        ),
    ] = None
    processes: Annotated[
        int | None,
        Parameter(
            help="Processes that prepare images, in place of threads. They use more than four cores, and a file that "
            "crashes a decoder costs no other file its answer (default: 0)."
        ),
    ] = None


DEFAULT_LISTENING = Listening()
DEFAULT_SERVING = ServingOptions()


def serve(
    *models: Annotated[str, Parameter(help=MODEL_HELP)],
    listening: Listening = DEFAULT_LISTENING,
    engine: ServingOptions = DEFAULT_SERVING,
    limits: Annotated[Limits, Parameter(name="*")] = DEFAULT_LIMITS,
    digest: tuple[str, ...] = (),
    no_verify: NoVerify = False,
) -> None:
    """Answer over HTTP: the Open Inference Protocol v2 for programs, and /v1/classify for photos.

    ```
    xception serve runs/digits/bundle
    xception serve a=runs/digits/bundle b=keras_xception.imagenet --port 9000
    xception serve runs/digits/bundle --address 0.0.0.0 --api-keys keys.txt
    ```

    A model is served under its own name, or as NAME=MODEL under another one. For a folder of bundles, all of them are
    served, under the names of their folders.

    Args:
        digest: Digest of a bundle that may be served, or its first 12 or more characters. A bundle with another digest
            is refused. May be repeated.
    """
    listening.check()
    engine.check()
    if not models:
        raise UsageError("no model is named; expected one or more, as in xception serve keras_xception.imagenet")
    references = [one for model in models for one in unfolded(*named_reference(model))]
    runtimes = {package for _, model in references for package in packages_to_run(model, engine.backend)}
    grpc = ("grpc", "google") if listening.grpc_port else ()
    require_all(*PACKAGES, *grpc, *sorted(runtimes))
    from xception.serve.server import ServerSettings, serve_bundles

    settings = ServerSettings(
        bundles=bundles(references, digest, verify=not no_verify),
        address=listening.address,
        port=listening.port,
        grpc_port=listening.grpc_port,
        limits=limits,
        backend=engine.backend,
        compute=engine.compute,
        mode=engine.pixels,
        batch_size=engine.batch,
        workers=engine.readers,
        processes=engine.processes or 0,
        verify=not no_verify,
        keys=listening.api_keys,
        tls=listening.tls,
        host_names=frozenset(listening.host_name),
        shutdown_delay_s=listening.shutdown_delay_s,
    )
    print_facts({name: f"{value:,}" for name, value in asdict(limits).items()})
    debug = logging.getLogger().isEnabledFor(logging.DEBUG)
    serve_bundles(settings, say, partial(ended, arguments=COMMAND.get(), debug=debug))


def ended(error: BaseException, *, arguments: Sequence[str], debug: bool) -> Ending:
    """The ending that an error in another process of this command makes, after its trace where that is asked for."""
    if debug:
        traceback.print_exception(error)
    return ending_of(error, arguments)


def named_reference(text: str) -> tuple[str | None, str]:
    """The name in front of a model, if there is one, and the model."""
    name, sign, model = text.partition("=")
    return (name, model) if sign and NAME.fullmatch(name) else (None, text)


def unfolded(name: str | None, model: str) -> list[tuple[str | None, str]]:
    """A model with its name, or the models of a folder of bundles with the names of their folders.

    Raises:
        UsageError: one name is given to a folder of several.
    """
    folder = Path(model)
    if not folder.is_dir() or bundle_folder(folder):
        return [(name, model)]
    inside = [(entry.name, str(entry)) for entry in sorted(folder.iterdir()) if bundle_folder(entry)]
    if inside and name:
        raise UsageError(f"{model} is a folder of bundles, which have the names of their folders; leave out {name}=")
    return [*inside] or [(name, model)]


def bundles(
    references: Sequence[tuple[str | None, str]], digests: Sequence[str], *, verify: bool = True
) -> dict[str, Path]:
    """The folders of the models' bundles, fetched and converted where needed, by the names to serve them under."""
    found: dict[str, Path] = {}
    for given, reference in references:
        opened = open_model(reference, verify=verify)
        _check_digest(opened, digests)
        name = served_name(opened, given)
        if name in found:
            raise UsageError(f"two models are called {name!r}; put another name in front of one, as in NAME=MODEL")
        found[name] = opened.path
    return found


def _check_digest(bundle: Bundle, expected: Sequence[str]) -> None:
    """Refuse a bundle that has none of the digests.

    Raises:
        UsageError: what is expected is too short to be one bundle's.
        InputError: it has another.
    """
    if short := [text for text in expected if len(text) < VERSION_CHARACTERS]:
        raise UsageError(f"--digest is {short[0]!r}; expected {VERSION_CHARACTERS} characters or more of the digest")
    if expected and not bundle.model.digest.startswith(tuple(expected)):
        raise InputError(
            f"the digest of {bundle.path} is {bundle.model.digest}; expected {' or '.join(expected)}; another bundle "
            "lies there than the one that was to be served"
        )
