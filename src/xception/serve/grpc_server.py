"""The service over gRPC: where it listens, what it holds at most, and its end."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from xception.errors import EnvironmentFault
from xception.extras import require
from xception.inputs import DOCUMENT_LIMIT, read_bytes
from xception.serve.addresses import Tls
from xception.serve.grpc_api import GrpcApi
from xception.serve.grpc_messages import GRPC_SERVICE
from xception.serve.limits import Limits


@dataclass(frozen=True, kw_only=True)
class GrpcSettings:
    """The address of the service over gRPC."""

    address: str
    port: int
    tls: Tls | None = None


@asynccontextmanager
async def grpc_serving(api: GrpcApi, settings: GrpcSettings, limits: Limits) -> AsyncIterator[None]:
    """The service over gRPC until the end of the block; requests that were taken by then are answered.

    Raises:
        EnvironmentFault: nothing can listen at the address.
    """
    grpc: Any = require("grpc", "grpc")
    aio: Any = require("grpc.aio", "grpc")
    server = aio.server(options=tuple(_options(limits).items()), maximum_concurrent_rpcs=limits.max_connections)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(GRPC_SERVICE, api.handlers()),))
    host = f"[{settings.address}]" if ":" in settings.address else settings.address
    place = f"{host}:{settings.port}"
    try:
        if settings.tls:
            server.add_secure_port(place, _credentials(grpc, settings.tls))
        else:
            server.add_insecure_port(place)
    except RuntimeError as error:
        raise EnvironmentFault(f"nothing can listen for gRPC at {place}; choose another --grpc-port") from error
    await server.start()
    try:
        yield
    finally:
        await server.stop(limits.drain_s)


def _options(limits: Limits) -> dict[str, int]:
    """The limits in gRPC's words, in bytes and milliseconds.

    A connection ends after a while, as no call can be ended that holds a reply which its client does not take: clients
    begin another one by themselves, and calls that are under way have all the time that they may need.
    """
    call_s = limits.body_timeout_s + limits.timeout_s + limits.body_timeout_s
    return {
        "grpc.max_receive_message_length": limits.max_body_bytes,
        "grpc.max_send_message_length": -1,
        "grpc.max_metadata_size": 1024 * limits.max_header_kb,
        "grpc.max_allowed_incoming_connections": limits.max_connections,
        "grpc.max_connection_age_ms": round(1000 * limits.body_timeout_s),
        "grpc.max_connection_age_grace_ms": round(1000 * call_s),
        "grpc.server_handshake_timeout_ms": round(1000 * limits.header_timeout_s),
        "grpc.http2.bdp_probe": 0,  # which lets clients send more and more of messages that nobody has asked for
        "grpc.so_reuseport": 0,
    }


def _credentials(grpc: Any, tls: Tls) -> Any:
    clients = read_bytes(tls.clients, DOCUMENT_LIMIT) if tls.clients else None
    pair = (read_bytes(tls.key, DOCUMENT_LIMIT), read_bytes(tls.certificate, DOCUMENT_LIMIT))
    return grpc.ssl_server_credentials([pair], clients, require_client_auth=clients is not None)
