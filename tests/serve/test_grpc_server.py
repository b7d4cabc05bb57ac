"""The service over gRPC, asked by gRPC's own client."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from tests.serve.running import free_port, opened, running
from tests.serve.test_keys import OTHER, write_keys
from tests.support.samples import HANG_S
from xception.bundle import Bundle
from xception.data.source import Item
from xception.serve.grpc_messages import GRPC_SERVICE, message_classes
from xception.serve.grpc_server import GrpcSettings
from xception.serve.keys import Keyring
from xception.serve.limits import Limits
from xception.serve.service import Service


class Client:
    """Every method of the protocol, by its name."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.channel = channel

    def __call__(self, name: str, request: Any = None, **options: Any) -> Any:
        classes = message_classes()
        method = self.channel.unary_unary(
            f"/{GRPC_SERVICE}/{name}",
            request_serializer=classes[f"{name}Request"].SerializeToString,
            response_deserializer=classes[f"{name}Response"].FromString,
        )
        options = {"timeout": HANG_S, "wait_for_ready": True, **options}
        return method(classes[f"{name}Request"]() if request is None else request, **options)

    def refusal(self, name: str, request: Any = None, **options: Any) -> tuple[grpc.StatusCode, str]:
        with pytest.raises(grpc.RpcError) as caught:
            self(name, request, **options)
        return caught.value.code(), caught.value.details()


@contextmanager
def asked(service: Service, keyring: Keyring | None = None) -> Iterator[Client]:
    port = free_port()
    settings = GrpcSettings(address="127.0.0.1", port=port)
    with running(service, keyring, grpc=settings), grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield Client(channel)


@pytest.fixture(scope="module")
def service(mapped: Bundle, onnx_bundle: Bundle) -> Service:
    return opened({"digits": mapped, "small": onnx_bundle}, Limits(max_body_mb=1))


@pytest.fixture(scope="module")
def client(service: Service) -> Iterator[Client]:
    with asked(service) as found:
        yield found


def named(kind: str, **fields: Any) -> Any:
    return message_classes()[kind](**fields)


def photos(files: list[Path], **fields: Any) -> Any:
    request = named("ModelInferRequest", model_name="digits", **fields)
    data = [path.read_bytes() for path in files]
    request.inputs.add(name="images", datatype="BYTES", shape=[len(data)], contents={"bytes_contents": data})
    return request


def values(reply: Any, name: str) -> np.ndarray:
    place = [output.name for output in reply.outputs].index(name)
    return np.frombuffer(reply.raw_output_contents[place], "<f4").reshape(reply.outputs[place].shape)


def test_health_and_metadata_are_told(client: Client, service: Service) -> None:
    model = service.models["digits"]
    assert client("ServerLive").live
    assert client("ServerReady").ready
    assert client("ModelReady", named("ModelReadyRequest", name="digits", version=model.version)).ready
    assert client("ServerMetadata").name == "xception"
    metadata = client("ModelMetadata", named("ModelMetadataRequest", name="digits"))
    assert ([one.name for one in metadata.inputs], list(metadata.versions)) == (["pixels", "images"], [model.version])
    service.leaving.set()
    try:
        assert not client("ServerReady").ready
    finally:
        service.leaving.clear()


def test_photos_get_the_answers_of_the_engine(client: Client, service: Service, digit_files: list[Path]) -> None:
    reply = client("ModelInfer", photos(digit_files, id="a-1"))
    items = [Item(path.name, None, path.read_bytes) for path in digit_files]
    expected = np.stack([answer.logits for answer in service.models["digits"].engine(items)])[:, :10]
    np.testing.assert_allclose(values(reply, "logits"), expected, rtol=1e-5, atol=1e-5)
    assert (reply.id, reply.model_name) == ("a-1", "digits")
    model = service.models["digits"]
    assert reply.parameters["model_digest"].string_param == model.digest
    assert reply.parameters["preprocess_id"].string_param == model.preprocess_id


def test_tensors_are_taken_raw_and_typed(client: Client) -> None:
    pixels = np.linspace(-1, 1, 32 * 32, dtype=np.float32)
    replies = []
    for is_raw in (True, False):
        request = named("ModelInferRequest", model_name="digits", outputs=[{"name": "logits"}])
        request.inputs.add(name="pixels", datatype="FP32", shape=[1, 1, 32, 32])
        if is_raw:
            request.raw_input_contents.append(pixels.tobytes())
        else:
            request.inputs[0].contents.fp32_contents.extend(pixels.tolist())
        replies.append(values(client("ModelInfer", request), "logits"))
    assert replies[0].shape == (1, 10)
    np.testing.assert_array_equal(*replies)


def test_failures_have_codes_of_their_kind(client: Client, digit_files: list[Path], tmp_path: Path) -> None:
    code = grpc.StatusCode
    assert client.refusal("ModelReady", named("ModelReadyRequest", name="none"))[0] == code.NOT_FOUND
    assert client.refusal("ModelInfer", named("ModelInferRequest", model_name="digits"))[0] == code.INVALID_ARGUMENT
    (tmp_path / "broken").write_bytes(b"no image")
    refused = client.refusal("ModelInfer", photos([digit_files[0], tmp_path / "broken"]))
    assert (refused[0], "1 of 2 images cannot be used (1)" in refused[1]) == (code.INVALID_ARGUMENT, True)
    late = photos(digit_files)
    late.parameters["timeout"].int64_param = 1
    assert client.refusal("ModelInfer", late)[0] in (code.DEADLINE_EXCEEDED, code.RESOURCE_EXHAUSTED)
    (tmp_path / "large").write_bytes(bytes(2 << 20))
    assert client.refusal("ModelInfer", photos([tmp_path / "large"]))[0] == code.RESOURCE_EXHAUSTED


def test_only_who_has_a_key_is_answered(service: Service, tmp_path: Path) -> None:
    keyring = Keyring(write_keys(tmp_path, f"a {OTHER}"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Service, "close", lambda _: None)  # the service is the module's
        with asked(service, keyring) as client:
            assert client("ServerLive").live
            assert client.refusal("ServerMetadata")[0] == grpc.StatusCode.UNAUTHENTICATED
            wrong = client.refusal("ServerMetadata", metadata=(("authorization", "Bearer wrong"),))
            assert wrong[0] == grpc.StatusCode.UNAUTHENTICATED
            assert client("ServerMetadata", metadata=(("authorization", "Bearer other"),)).name == "xception"
