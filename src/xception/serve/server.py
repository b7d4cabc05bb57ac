"""The processes: one that listens, watches and passes signals on, and one that holds the models and answers.

A process of models that dies is started again; one that cannot load them says why and ends the service.
"""

import asyncio
import logging
import multiprocessing
import os
import signal
import sys
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from threading import Thread, Timer
from typing import Any

import msgspec
from granian import Granian
from granian.http import HTTP1Settings

from xception.backends.base import Compute
from xception.bundle import open_bundle
from xception.data.pixels import Mode
from xception.errors import InputError
from xception.machine import peak_memory_bytes, peak_memory_bytes_of_all
from xception.pipeline.cores import Cores
from xception.pipeline.engine import Engine
from xception.platforms import LEAVE_SIGNAL, REREAD_SIGNAL
from xception.screen import one_line
from xception.serve.addresses import Tls, allowed_hosts, check_address_is_free, check_tls
from xception.serve.app import application
from xception.serve.front import Front
from xception.serve.grpc_server import GrpcSettings
from xception.serve.keys import Keyring
from xception.serve.limits import MIB, Limits
from xception.serve.model import ServedModel
from xception.serve.photos import limit_decoders
from xception.serve.service import Service

Say = Callable[[str], object]

Ended = Callable[[BaseException], tuple[str, int]]
"""The sentence and the exit code of an error; another process imports it."""

SILENT_LOGGERS = ("PIL", "python_multipart")
"""Loggers of what reads the files and forms of clients, who are told what was wrong with them; the log holds nothing
that a client wrote."""


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """All that the processes need to know."""

    bundles: dict[str, Path]
    """Folders by the names under which they are served."""
    address: str
    port: int
    limits: Limits
    backend: str | None = None
    compute: Compute = Compute()
    mode: Mode | None = None
    batch_size: int | None = None
    workers: int | None = None
    processes: int = 0
    verify: bool = True
    keys: Path | None = None
    tls: Tls | None = None
    host_names: frozenset[str] = frozenset()
    grpc_port: int | None = None
    shutdown_delay_s: float = 0.0
    """Time between the signal to end and the end, in which the service answers and says that it is not ready."""


def serve_bundles(settings: ServerSettings, say: Say, ended: Ended) -> None:
    """Serve until a signal tells to end; what was taken by then is answered.

    Args:
        settings: all that the processes need to know.
        say: shows a sentence to the person at the terminal.
        ended: says how the command ends where the models cannot be loaded.

    Raises:
        UsageError: an address that is none, or a key without what belongs to it.
        InputError: keys or certificates that cannot be used.
        EnvironmentFault: the port is taken, or the models cannot be loaded again.
    """
    for port in filter(None, (settings.port, settings.grpc_port)):
        check_address_is_free(settings.address, port)
    if settings.keys:
        Keyring(settings.keys)
    if settings.tls:
        check_tls(settings.tls)
    multiprocessing.set_start_method("spawn", force=True)  # forking a process that has threads hangs some runtimes
    limits = settings.limits
    server = Supervisor(
        "xception",
        shutdown_delay_s=settings.shutdown_delay_s,
        address=settings.address,
        port=settings.port,
        interface="asgi",
        http="1",
        websockets=False,
        http1_settings=HTTP1Settings(
            header_read_timeout=round(1000 * limits.header_timeout_s),
            max_buffer_size=max(8192, 2048 * limits.max_header_kb),
        ),
        backlog=limits.max_connections,
        backpressure=limits.max_connections,
        respawn_failed_workers=True,
        respawn_interval=0,
        workers_kill_timeout=limits.drain_s,
        log_enabled=False,
        **_tls_options(settings.tls),
    )
    scheme = "https" if settings.tls else "http"
    host = f"[{settings.address}]" if ":" in settings.address else settings.address
    say(f"loading {', '.join(settings.bundles)}, to be served at {scheme}://{host}:{settings.port}")
    server.serve(target_loader=partial(load_application, settings, ended), wrap_loader=False)


def _tls_options(tls: Tls | None) -> dict[str, Any]:
    if tls is None:
        return {}
    more = {"ssl_ca": tls.clients, "ssl_client_verify": True} if tls.clients else {}
    return {"ssl_cert": tls.certificate, "ssl_key": tls.key, "ssl_protocol_min": "tls1.2", **more}


class Supervisor(Granian):  # type: ignore[misc, valid-type]
    """Granian's main process, which also passes on the signal to read the keys again, lets balancers see that the end
    is near before it comes, and obeys the words with which a process of models ends on purpose."""

    def __init__(self, *arguments: Any, shutdown_delay_s: float = 0.0, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._shutdown_delay_s = shutdown_delay_s
        if LEAVE_SIGNAL:
            signal.signal(LEAVE_SIGNAL, signal.SIG_IGN)  # processes inherit this, until they can obey it

    def signal_handler_interrupt(self, *received: Any) -> None:
        """End: at once, or after the delay where a process manager asks for the first time."""
        delay_s, self._shutdown_delay_s = self._shutdown_delay_s, 0.0
        if not (delay_s and LEAVE_SIGNAL and received[:1] == (signal.SIGTERM,)):
            super().signal_handler_interrupt(*received)
            return
        for worker in self.wrks:
            os.kill(worker.inner.pid, LEAVE_SIGNAL)
        ending = Timer(delay_s, super().signal_handler_interrupt)
        ending.daemon = True
        ending.start()

    def signal_handler_reload(self, *_: object) -> None:
        """Let the processes read their keys again; Granian would start them anew, with the models twice in memory."""
        if REREAD_SIGNAL:
            for worker in self.wrks:
                os.kill(worker.inner.pid, REREAD_SIGNAL)

    def _respawn_workers(self, workers: list[int], *arguments: Any, **options: Any) -> None:
        for index in workers:
            code = self.wrks[index].inner.exitcode
            if code is not None and code > 0:
                sys.exit(code)
        super()._respawn_workers(workers, *arguments, **options)


def load_application(settings: ServerSettings, ended: Ended) -> Front:
    """The application with its models loaded; called in a process of its own, which ends if that fails."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    for name in SILENT_LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    warnings.simplefilter("ignore")  # of the same, each of which would be kept, too, so as not to be told twice
    try:
        service = open_service(settings)
        keyring = Keyring(settings.keys) if settings.keys else None
    except Exception as error:
        sentence, code = ended(error)
        _say(f"xception: {sentence}")
        sys.stderr.flush()
        os._exit(code)
    loop = asyncio.get_event_loop_policy().get_event_loop()
    if keyring and REREAD_SIGNAL:
        loop.add_signal_handler(REREAD_SIGNAL, _reload, keyring)
    if LEAVE_SIGNAL:
        loop.add_signal_handler(LEAVE_SIGNAL, service.leaving.set)
    Thread(target=_end_with_the_parent, name="parent", daemon=True).start()
    _say(memory_sentence(service, over_grpc=settings.grpc_port is not None))
    _say(f"ready: {', '.join(f'{model.name}@{model.version}' for model in service.models.values())}")
    grpc = settings.grpc_port and GrpcSettings(address=settings.address, port=settings.grpc_port, tls=settings.tls)
    return application(service, keyring, allowed_hosts(settings.address, settings.host_names), grpc or None)


def _end_with_the_parent() -> None:
    """End as by a signal once the process that listens is gone: killed, it leaves this one its port."""
    if parent := multiprocessing.parent_process():
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


def open_service(settings: ServerSettings) -> Service:
    """The models, loaded and tried.

    Raises:
        InputError: a bundle is not whole, or its runtime refuses it.
        UsageError: the limits leave a model no image.
        EnvironmentFault: the model fails at an image.
    """
    limit_decoders(settings.limits.max_pixels)
    cores = Cores(processes=settings.processes)
    models = {}
    for name, path in settings.bundles.items():
        engine = Engine.open(
            open_bundle(path, verify=settings.verify),
            backend=settings.backend,
            compute=settings.compute,
            mode=settings.mode,
            batch_size=settings.batch_size,
        )
        models[name] = ServedModel.open(name, engine, settings.limits, cores, settings.workers)
        models[name].start()
    return Service(models=models, limits=settings.limits)


def memory_bytes(service: Service, *, over_grpc: bool = False) -> tuple[int, int]:
    """The memory that this process and those that it started took until now, and the most that requests may take."""
    models = service.models.values()
    cores = next(iter(models)).engine.lane.cores
    threads = min(cores.workers, sum(model.batcher.calls_at_once for model in models))
    now = max(peak_memory_bytes() or 0, peak_memory_bytes_of_all(os.getpid()))
    return now, service.limits.memory_bytes(threads, over_grpc=over_grpc)


def memory_sentence(service: Service, *, over_grpc: bool = False) -> str:
    """The most memory that all processes of the command may take, for the person who gives it some."""
    now, requests = memory_bytes(service, over_grpc=over_grpc)
    now = max(now, peak_memory_bytes_of_all(os.getppid()))
    return (
        f"memory: {now // MIB:,} MiB with the models, and at most {requests // MIB:,} MiB for requests; "
        f"{(now + requests) // MIB:,} MiB in all"
    )


def _reload(keyring: Keyring) -> None:
    try:
        keyring.reload()
    except InputError as error:
        _say(f"the old keys hold: {error}")
    else:
        _say(f"{len(keyring.keys)} keys were read again")


def _say(text: str) -> None:
    logging.getLogger(__name__).info("%s", one_line(text))
