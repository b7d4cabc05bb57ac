"""The service over gRPC, asked by gRPC's own client."""

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any
from unittest.mock import AsyncMock, MagicMock

import grpc
import numpy as np
import pytest

from tests.serve.grpc_client import Client, named, photos
from tests.serve.running import free_port, is_open, opened, running
from tests.serve.test_keys import OTHER, write_keys
from tests.support.certificates import certificates
from tests.support.samples import HANG_S
from xception.bundle import Bundle
from xception.data.source import Item
from xception.serve.addresses import Tls
from xception.serve.batcher import Batcher
from xception.serve.bodies import BodyBudget
from xception.serve.grpc_api import GrpcApi
from xception.serve.grpc_messages import GRPC_SERVICE
from xception.serve.grpc_server import GrpcSettings
from xception.serve.keys import Keyring
from xception.serve.limits import MIB, Limits
from xception.serve.measures import Measures
from xception.serve.model import Answer
from xception.serve.service import Service


@contextmanager
def asked(
    service: Service, keyring: Keyring | None = None, tls: Tls | None = None, credentials: Any = None
) -> Iterator[Client]:
    port = free_port()
    settings = GrpcSettings(address="127.0.0.1", port=port, tls=tls)
    with Client.at(port, credentials) as client, running(service, keyring, grpc=settings):
        yield client


@pytest.fixture(scope="module")
def service(mapped: Bundle, onnx_bundle: Bundle) -> Service:
    return opened({"digits": mapped, "small": onnx_bundle}, Limits(max_body_mb=1))


@pytest.fixture(scope="module")
def client(service: Service) -> Iterator[Client]:
    with asked(service) as found:
        yield found


def contents(files: list[Path]) -> list[bytes]:
    return [path.read_bytes() for path in files]


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
    reply = client("ModelInfer", photos(contents(digit_files), id="a-1"))
    items = [Item(path.name, None, path.read_bytes) for path in digit_files]
    expected = np.stack([answer.logits for answer in service.models["digits"].engine(items)])[:, :10]
    np.testing.assert_allclose(values(reply, "logits"), expected, rtol=1e-5, atol=1e-5)
    assert (reply.id, reply.model_name) == ("a-1", "digits")
    model = service.models["digits"]
    assert reply.parameters["model_digest"].string_param == model.digest
    assert reply.parameters["preprocess_id"].string_param == model.preprocess_id


def test_every_reply_says_which_model_gave_it_and_which_request_it_answers(client: Client, service: Service) -> None:
    def behind(name: str, request: Any) -> tuple[str, str, str]:
        call = client.future(name, request, metadata=(("x-request-id", "mine-7"),))
        found = dict(call.trailing_metadata())
        return found["x-request-id"], found["x-xception-model"], found["x-xception-preprocess"]

    digits, small = service.models["digits"], service.models["small"]
    of_digits = ("mine-7", f"digits@{digits.digest}", digits.preprocess_id)
    assert behind("ModelReady", named("ModelReadyRequest", name="digits")) == of_digits
    assert behind("ModelInfer", named("ModelInferRequest", model_name="digits")) == of_digits  # which is refused
    of_all = (f"{of_digits[1]}, small@{small.digest}", f"{digits.preprocess_id}, {small.preprocess_id}")
    for name in ("ServerLive", "ModelReady"):
        assert behind(name, named(f"{name}Request")) == ("mine-7", *of_all)


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


def test_failures_have_codes_of_their_kind(client: Client, digit_files: list[Path]) -> None:
    code = grpc.StatusCode
    assert client.refusal("ModelReady", named("ModelReadyRequest", name="none"))[0] == code.NOT_FOUND
    assert client.refusal("ModelInfer", named("ModelInferRequest", model_name="digits"))[0] == code.INVALID_ARGUMENT
    refused = client.refusal("ModelInfer", photos([digit_files[0].read_bytes(), b"no image"]))
    assert (refused[0], "1 of 2 images cannot be used (1)" in refused[1]) == (code.INVALID_ARGUMENT, True)
    late = photos(contents(digit_files))
    late.parameters["timeout"].int64_param = 1
    assert client.refusal("ModelInfer", late)[0] in (code.DEADLINE_EXCEEDED, code.RESOURCE_EXHAUSTED)
    assert client.refusal("ModelInfer", photos([bytes(2 << 20)]))[0] == code.RESOURCE_EXHAUSTED


@pytest.mark.usefixtures("kept")
def test_only_who_has_a_key_is_answered(service: Service, tmp_path: Path) -> None:
    keyring = Keyring(write_keys(tmp_path, f"a {OTHER}"))
    with asked(service, keyring) as client:
        assert client("ServerLive").live
        assert client.refusal("ServerMetadata")[0] == grpc.StatusCode.UNAUTHENTICATED
        wrong = client.refusal("ServerMetadata", metadata=(("authorization", "Bearer wrong"),))
        assert wrong[0] == grpc.StatusCode.UNAUTHENTICATED
        assert client("ServerMetadata", metadata=(("authorization", "Bearer other"),)).name == "xception"


class Gate:
    """A model that answers when it is let, and says when it was asked."""

    def __init__(self) -> None:
        self.asked, self.open = Event(), Event()

    def __call__(self, works: Sequence[Any]) -> list[Answer]:
        self.asked.set()
        assert self.open.wait(HANG_S)
        return [Answer(np.zeros(10, np.float32), None, {}) for _ in works]


@contextmanager
def gated(service: Service, **limits: Any) -> Iterator[tuple[Service, Gate]]:
    """The service with its model behind a gate, which takes one image at a time, however slow the machine is."""
    gate = Gate()
    sizes = {"batch_size": 1, "calls_at_once": 1, "max_queued": 1}
    batcher: Batcher[Any, Answer] = Batcher(gate, **sizes)
    batcher.start()
    model = replace(service.models["digits"], batcher=batcher)
    try:
        yield replace(service, models={"digits": model}, limits=Limits(**{"timeout_s": HANG_S} | limits)), gate
    finally:
        gate.open.set()
        batcher.close()


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """The service is the module's, and not closed with a server."""
    monkeypatch.setattr(Service, "close", lambda _: None)


def one_digit() -> Any:
    request = named("ModelInferRequest", model_name="digits", outputs=[{"name": "logits"}])
    request.inputs.add(name="pixels", datatype="FP32", shape=[1, 1, 32, 32])
    request.raw_input_contents.append(bytes(4 * 32 * 32))
    return request


def test_a_reply_is_counted_until_it_is_sent(service: Service) -> None:
    """Until the call is done, which is when gRPC has sent the reply."""
    api = GrpcApi(
        service=service,
        measures=Measures(service.models),
        keyring=None,
        budget=BodyBudget(service.limits.max_bodies_mb * MIB),
    )
    context, content = MagicMock(), one_digit().SerializeToString()
    context.read = AsyncMock(return_value=content)
    context.time_remaining.return_value = None
    reply = asyncio.run(api.handlers()["ModelInfer"].stream_unary(None, context))
    assert api.budget.held_bytes >= len(content) + reply.ByteSize()
    for (done,), _ in context.add_done_callback.call_args_list:
        done(context)
    assert api.budget.held_bytes == 0


@pytest.mark.usefixtures("kept")
def test_a_crowd_is_refused_with_its_messages_unread(service: Service) -> None:
    with gated(service) as (narrow, gate), asked(narrow) as client, ThreadPoolExecutor(2) as pool:
        first = pool.submit(client, "ModelInfer", one_digit())
        assert gate.asked.wait(HANG_S)
        second = pool.submit(client, "ModelInfer", one_digit())
        while not narrow.models["digits"].batcher.queued:
            assert not second.done()
        # It never sends its message, and is refused all the same.
        silent = client.stream("ModelInfer", forever(gate.open))
        assert silent.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert dict(silent.trailing_metadata())["retry-after"] == "1"
        assert client("ServerLive").live
        gate.open.set()
        assert [len(one.result(HANG_S).outputs) for one in (first, second)] == [1, 1]


def forever(end: Event) -> Iterator[Any]:
    """A client that sends nothing."""
    end.wait(HANG_S)
    yield from ()


@pytest.mark.usefixtures("kept")
def test_messages_that_drip_are_cut_off_and_hold_nobody_up(service: Service) -> None:
    over = Event()
    limits = {"max_body_mb": 1, "max_bodies_mb": 1, "body_timeout_s": 0.3}
    with gated(service, **limits) as (narrow, gate), asked(narrow) as client:
        gate.open.set()
        slow = client.stream("ModelInfer", forever(over))
        assert client("ServerLive").live
        assert slow.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        assert "the body took longer than 0.3 s" in slow.details()
        over.set()
        assert client("ModelInfer", one_digit()).outputs


def queued_with_deadline(client: Client, batcher: Batcher[Any, Answer]) -> tuple[Any, Any]:
    """A call with a deadline, and its place in the queue, which a slow machine may not let it reach in time."""
    while True:
        call = client.future("ModelInfer", one_digit(), timeout=0.2)
        while not call.done():
            if queued := list(batcher._queue):
                return call, queued[0]


@pytest.mark.usefixtures("kept")
def test_a_clients_own_deadline_and_its_leaving_drop_what_waits(service: Service) -> None:
    with gated(service) as (narrow, gate), asked(narrow) as client, ThreadPoolExecutor(1) as pool:
        batcher = narrow.models["digits"].batcher
        running = pool.submit(client, "ModelInfer", one_digit())
        assert gate.asked.wait(HANG_S)
        late, waiting = queued_with_deadline(client, batcher)
        assert late.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        while not waiting.ticket.left:
            assert not gate.open.is_set()
        gate.open.set()
        assert running.result(HANG_S).outputs
        while batcher.queued:
            assert gate.open.is_set()
        assert client("ModelInfer", one_digit()).outputs
        assert batcher.counts.departed + batcher.counts.expired >= 1

        gate.asked.clear(), gate.open.clear()
        running = pool.submit(client, "ModelInfer", one_digit())
        assert gate.asked.wait(HANG_S)
        leaving = client.future("ModelInfer", one_digit())
        while not batcher.queued:
            assert not leaving.done()
        (waiting,) = batcher._queue
        dropped = batcher.counts.departed + batcher.counts.expired
        leaving.cancel()
        while not waiting.ticket.left:
            assert not gate.open.is_set()
        gate.open.set()
        assert running.result(HANG_S).outputs
        while batcher.queued:
            assert gate.open.is_set()
        assert client("ModelInfer", one_digit()).outputs
        assert batcher.counts.departed + batcher.counts.expired == dropped + 1


def open_when_over(gate: Gate, port: int) -> None:
    """Let the model answer once nobody listens any more."""
    while is_open(port):
        pass
    gate.open.set()


@pytest.mark.usefixtures("kept")
def test_a_call_that_was_taken_is_answered_when_the_server_ends(service: Service) -> None:
    with gated(service) as (narrow, gate), ThreadPoolExecutor(2) as pool:
        with asked(narrow) as client:
            running = pool.submit(client, "ModelInfer", one_digit())
            assert gate.asked.wait(HANG_S)
            pool.submit(open_when_over, gate, client.port)
        assert running.result(HANG_S).outputs


@pytest.mark.usefixtures("kept")
def test_certificates_hold_over_grpc(service: Service, tmp_path: Path) -> None:
    made = certificates(tmp_path)
    authority, server, own = made["authority"], made["server"], made["client"]
    tls = Tls(certificate=server.path, key=server.key, clients=authority.path)
    root = authority.path.read_bytes()
    known = grpc.ssl_channel_credentials(root, own.key.read_bytes(), own.path.read_bytes())
    with asked(service, tls=tls, credentials=known) as client:
        assert client("ServerLive").live
        with grpc.secure_channel(client.place, grpc.ssl_channel_credentials(root)) as stranger:
            refused = Client(stranger, client.port).refusal("ServerLive", wait_for_ready=False)
        with grpc.insecure_channel(client.place) as plain:
            unencrypted = Client(plain, client.port).refusal("ServerLive", wait_for_ready=False)
    assert refused[0] == unencrypted[0] == grpc.StatusCode.UNAVAILABLE


def test_bytes_that_are_no_message_are_refused(client: Client) -> None:
    method = client.channel.unary_unary(f"/{GRPC_SERVICE}/ModelInfer")
    for content in (b"\xff\xff\xff", b"\x0a\x02\xff\xfe"):
        with pytest.raises(grpc.RpcError) as caught:
            method(content, timeout=HANG_S)
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert "is no ModelInferRequest" in caught.value.details()
    assert client.stream("ModelInfer", iter(())).code() == grpc.StatusCode.INVALID_ARGUMENT


def test_outputs_are_raw_bytes_even_if_json_is_asked_for(client: Client) -> None:
    request = one_digit()
    request.outputs[0].parameters["binary_data"].bool_param = False
    assert values(client("ModelInfer", request), "logits").shape == (1, 10)
