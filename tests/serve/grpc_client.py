"""A client of the service over gRPC."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self

import grpc
import pytest

from tests.support.samples import HANG_S
from xception.serve.grpc_messages import GRPC_SERVICE, message_classes


class Client:
    """Every method of the protocol, by its name."""

    @classmethod
    @contextmanager
    def at(cls, port: int, credentials: Any = None) -> Iterator[Self]:
        """A client of a port, until the end of the block."""
        place = f"127.0.0.1:{port}"
        with grpc.secure_channel(place, credentials) if credentials else grpc.insecure_channel(place) as channel:
            yield cls(channel, port)

    def __init__(self, channel: grpc.Channel, port: int) -> None:
        self.channel, self.port, self.place = channel, port, f"127.0.0.1:{port}"

    def _method(self, name: str, kind: str = "unary_unary") -> Any:
        classes = message_classes()
        return getattr(self.channel, kind)(
            f"/{GRPC_SERVICE}/{name}",
            request_serializer=classes[f"{name}Request"].SerializeToString,
            response_deserializer=classes[f"{name}Response"].FromString,
        )

    def __call__(self, name: str, request: Any = None, **options: Any) -> Any:
        options = {"timeout": HANG_S, "wait_for_ready": True, **options}
        return self._method(name)(message_classes()[f"{name}Request"]() if request is None else request, **options)

    def future(self, name: str, request: Any, **options: Any) -> Any:
        """A call that is under way."""
        return self._method(name).future(request, **{"timeout": HANG_S, **options})

    def stream(self, name: str, requests: Iterator[Any]) -> Any:
        """A call whose messages come one by one, if at all."""
        return self._method(name, "stream_unary").future(requests, timeout=HANG_S, wait_for_ready=True)

    def refusal(self, name: str, request: Any = None, **options: Any) -> tuple[grpc.StatusCode, str]:
        with pytest.raises(grpc.RpcError) as caught:
            self(name, request, **options)
        return caught.value.code(), caught.value.details()


def named(kind: str, **fields: Any) -> Any:
    """A message."""
    return message_classes()[kind](**fields)


def photos(files: Sequence[bytes], **fields: Any) -> Any:
    """A request for what `digits` says of some photos."""
    request = named("ModelInferRequest", model_name="digits", **fields)
    request.inputs.add(name="images", datatype="BYTES", shape=[len(files)], contents={"bytes_contents": files})
    return request
