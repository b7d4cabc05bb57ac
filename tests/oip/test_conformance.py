"""The check of servers passes one that is right, and names what is wrong with each of many that are not."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.serve.running import free_port, kept_open, opened, serving_app
from tests.support.reader import digits_bundle, reader_spec
from tests.support.samples import drawn_tensors
from xception.bundle import Bundle
from xception.cli.app import run
from xception.oip.client import OipClient
from xception.oip.conformance import check_server
from xception.oip.rules import RULES
from xception.oip.subject import Subject
from xception.serve.app import application
from xception.serve.service import Service

Document = dict[str, Any]
HEADER = b"inference-header-content-length"


class Exchange:
    """A request and its reply, to be spoilt."""

    def __init__(self, scope: Document, body: bytes) -> None:
        self.method, self.path = scope["method"], scope["path"]
        self.authorization = dict(scope["headers"]).get(b"authorization", b"").decode()
        stated = dict(scope["headers"]).get(HEADER, b"").decode()
        self.length = int(stated) if stated.isdecimal() else -1
        self.sent = body
        self.status, self.headers, self.reply = 0, {}, b""

    @property
    def request(self) -> Document:
        try:
            found = json.loads(self.sent[: self.length] if self.length >= 0 else self.sent)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def is_answer(self) -> bool:
        return self.path.endswith("/infer") and self.status == 200

    def change(self, changed: Callable[[Document], Any]) -> None:
        """Change the document of the reply; raw bytes behind it stay."""
        length = int(self.headers.get(HEADER, len(self.reply)))
        document = json.loads(self.reply[:length])
        changed(document)
        head = json.dumps(document).encode()
        if HEADER in self.headers:
            self.headers[HEADER] = str(len(head)).encode()
        self.reply = head + self.reply[length:]


Fault = Callable[[Exchange], None]


class Spoilt:
    """An application whose requests and replies a fault may change."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.before: Fault | None = None
        self.after: Fault | None = None

    async def __call__(self, scope: Document, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        body, more = b"", True
        while more:
            event = await receive()
            body, more = body + event["body"], event["more_body"]
        exchange = Exchange(scope, body)
        if self.before:
            self.before(exchange)
        headers = [pair for pair in scope["headers"] if pair[0] not in (b"content-length", HEADER)]
        if exchange.length >= 0:
            headers.append((HEADER, str(exchange.length).encode()))
        elif HEADER in dict(scope["headers"]):
            headers.append((HEADER, dict(scope["headers"])[HEADER]))
        sent = [{"type": "http.request", "body": exchange.sent, "more_body": False}]

        async def replay() -> Document:
            return sent.pop() if sent else await receive()

        async def collect(event: Document) -> None:
            if event["type"] == "http.response.start":
                exchange.status, exchange.headers = event["status"], dict(event["headers"])
            else:
                exchange.reply += event["body"]

        await self.app({**scope, "method": exchange.method, "path": exchange.path, "headers": headers}, replay, collect)
        if self.after:
            self.after(exchange)
        exchange.headers[b"content-length"] = str(len(exchange.reply)).encode()
        start = {"type": "http.response.start", "status": exchange.status, "headers": list(exchange.headers.items())}
        await send(start)
        await send({"type": "http.response.body", "body": exchange.reply})


def at(path: str, changed: Callable[[Document], Any]) -> Fault:
    """Change the document of one path."""

    def fault(exchange: Exchange) -> None:
        if exchange.path == path and exchange.status == 200:
            exchange.change(changed)

    return fault


def in_answers(changed: Callable[[Document], Any]) -> Fault:
    def fault(exchange: Exchange) -> None:
        if exchange.is_answer:
            exchange.change(changed)

    return fault


def in_requests(changed: Callable[[Document], Any]) -> Fault:
    """Change what the server sees of a request."""

    def fault(exchange: Exchange) -> None:
        document = exchange.request
        if exchange.path.endswith("/infer") and document:
            changed(document)
            head = json.dumps(document).encode()
            exchange.sent = head + (exchange.sent[exchange.length :] if exchange.length >= 0 else b"")
            exchange.length = len(head) if exchange.length >= 0 else -1

    return fault


def with_status(condition: Callable[[Exchange], bool], status: int, reply: bytes | None = None) -> Fault:
    def fault(exchange: Exchange) -> None:
        if condition(exchange):
            exchange.status, exchange.reply = status, exchange.reply if reply is None else reply

    return fault


def without_errors(exchange: Exchange) -> None:
    if exchange.status >= 400:
        exchange.reply = b"<h1>Bad Request</h1>"


def scaled_in_batches(document: Document) -> None:
    for tensor in document["outputs"]:
        if tensor["shape"][0] > 1 and tensor["datatype"] == "FP32" and "data" in tensor:
            tensor["data"] = [value * 1.01 + 0.01 for value in tensor["data"]]


def drop_value(document: Document) -> None:
    document["outputs"][0].get("data", [0]).pop()


def any_version(exchange: Exchange) -> None:
    exchange.path = exchange.path.replace("/versions/no-such-version", "")


def reversed_input(exchange: Exchange) -> None:
    if exchange.length >= 0:
        exchange.sent = exchange.sent[: exchange.length] + exchange.sent[exchange.length :][::-1]


def any_model(exchange: Exchange) -> None:
    exchange.path = exchange.path.replace("no-such-model", "digits")


def any_output(document: Document) -> None:
    if document.get("outputs") == [{"name": "no-such-output"}]:
        del document["outputs"]


def any_input(document: Document) -> None:
    for tensor in document.get("inputs", []):
        tensor["name"] = "pixels"


def any_type(document: Document) -> None:
    for tensor in document.get("inputs", []):
        tensor["datatype"] = "FP32"


def any_rank(document: Document) -> None:
    for tensor in document.get("inputs", []):
        tensor["shape"] = tensor["shape"][:4]


def any_count(document: Document) -> None:
    for tensor in document.get("inputs", []):
        if "data" in tensor and len(tensor["data"]) == 1023:
            tensor["data"].append(0.0)


def any_value(document: Document) -> None:
    for tensor in document.get("inputs", []):
        tensor["data"] = [0.0 if isinstance(value, str) else value for value in tensor.get("data", [])] or [0.0]


def flat_only(exchange: Exchange) -> None:
    tensors = exchange.request.get("inputs") or [{}]
    if exchange.is_answer and isinstance((tensors[0].get("data") or [0])[0], list):
        exchange.status, exchange.reply = 400, b'{"error": "flat"}'


def strict_keys(exchange: Exchange) -> None:
    if exchange.is_answer and "model_name" in exchange.request:
        exchange.status, exchange.reply = 400, b'{"error": "unknown"}'


def count(exchange: Exchange, calls: list[int] = []) -> None:  # noqa: B006 - it has to remember
    if exchange.is_answer and HEADER not in exchange.headers:
        calls.append(1)
        exchange.change(lambda document: document["outputs"][0]["data"].__setitem__(0, float(len(calls))))


def nan(exchange: Exchange) -> None:
    if exchange.is_answer and HEADER not in exchange.headers:
        exchange.change(lambda document: document["outputs"][0]["data"].__setitem__(0, float("nan")))


def lies_about_binary(exchange: Exchange) -> None:
    exchange.headers.pop(HEADER, None)


def text(exchange: Exchange) -> None:
    if exchange.is_answer and HEADER not in exchange.headers:
        exchange.headers[b"content-type"] = b"text/html"


def swapped_bytes(exchange: Exchange) -> None:
    if exchange.is_answer and HEADER in exchange.headers:
        length = int(exchange.headers[HEADER])
        exchange.reply = exchange.reply[:length] + exchange.reply[length:][::-1]


def no_own_wish(document: Document) -> None:
    if document.get("parameters", {}).get("binary_data_output"):
        for output in document.get("outputs", []):
            output.pop("parameters", None)


def no_wish_for_all(document: Document) -> None:
    document.get("parameters", {}).pop("binary_data_output", None)


def lenient_length(exchange: Exchange) -> None:
    if exchange.status == 400 and exchange.sent == b"{}":
        exchange.status = 200


def truncating(exchange: Exchange) -> None:
    if exchange.sent.endswith(b"few bytes") and exchange.status == 400:
        exchange.status = 200


def takes_get(exchange: Exchange) -> None:
    if exchange.path.endswith("/infer") and exchange.method == "GET":
        exchange.status = 200


INFER = "/v2/models/digits/infer"
MODEL = "/v2/models/digits"

BROKEN: dict[str, tuple[str, Fault, set[str]]] = {
    "no extensions": ("after", at("/v2", lambda d: d.pop("extensions")), {"server-metadata"}),
    "not live": ("after", with_status(lambda e: e.path.endswith("/live"), 404), {"live"}),
    "never ready": ("after", with_status(lambda e: e.path == "/v2/health/ready", 400), {"ready"}),
    "model never ready": ("after", with_status(lambda e: e.path == f"{MODEL}/ready", 503), {"model-ready"}),
    "another name": ("after", at(MODEL, lambda d: d.update(name="other")), {"model-metadata"}),
    "no platform": ("after", at(MODEL, lambda d: d.pop("platform")), {"model-metadata"}),
    "shape in words": ("after", at(MODEL, lambda d: d["outputs"][0].update(datatype="TYPE_FP32")), {"model-metadata"}),
    "any model": ("before", any_model, {"unknown-model"}),
    "no path of versions": ("after", with_status(lambda e: "/versions/" in e.path, 404), {"version-metadata"}),
    "versions are not said": ("after", in_answers(lambda d: d.pop("model_version")), {"version-infer"}),
    "errors in HTML": ("after", without_errors, {"unknown-model", "no-json", "wrong-name"}),
    "errors are 200": ("after", with_status(lambda e: e.status == 400, 200), {"no-json", "no-inputs", "wrong-rank"}),
    "errors are 500": ("after", with_status(lambda e: e.status == 400, 500), {"no-json", "wrong-values"}),
    "model is not said": ("after", in_answers(lambda d: d.update(model_name="model")), {"infer"}),
    "a value is missing": ("after", in_answers(drop_value), {"counts"}),
    "NaN in JSON": ("after", nan, {"json"}),
    "JSON as text": ("after", text, {"json"}),
    "another type": ("after", in_answers(lambda d: d["outputs"][0].update(name="scores")), {"as-described"}),
    "batches answer otherwise": ("after", in_answers(scaled_in_batches), {"batches"}),
    "never the same": ("after", count, {"again"}),
    "ids are made up": ("after", in_answers(lambda d: d.update(id="made-up")), {"id", "no-id"}),
    "ids are lost": ("after", in_answers(lambda d: d.pop("id", None)), {"id"}),
    "flat data only": ("after", flat_only, {"nested"}),
    "all outputs always": (
        "before",
        in_requests(lambda d: d.pop("outputs", None)),
        {"chosen-outputs", "unknown-output"},
    ),
    "any output": ("before", in_requests(any_output), {"unknown-output"}),
    "strict about keys": ("after", strict_keys, {"unknown-keys"}),
    "any input": ("before", in_requests(any_input), {"wrong-name"}),
    "any type": ("before", in_requests(any_type), {"wrong-type"}),
    "any rank": ("before", in_requests(any_rank), {"wrong-rank"}),
    "fills up": ("before", in_requests(any_count), {"wrong-count"}),
    "reads strings": ("before", in_requests(any_value), {"wrong-values"}),
    "inference by GET": ("after", takes_get, {"wrong-method"}),
    "no header of the length": ("after", lies_about_binary, {"binary-output", "binary-outputs"}),
    "bytes in another order": ("after", swapped_bytes, {"binary-output"}),
    "no raw outputs": ("before", in_requests(no_wish_for_all), {"binary-outputs"}),
    "no own wish": ("before", in_requests(no_own_wish), {"binary-own-wish"}),
    "takes half a tensor": ("after", truncating, {"binary-size"}),
    "any version": ("before", any_version, {"unknown-version"}),
    "reads raw bytes backwards": ("before", reversed_input, {"binary-input"}),
    "takes any length": ("after", lenient_length, {"binary-header"}),
}
"""Servers that break a rule: where, how, and rules that then have to be found broken."""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    spec = reader_spec()
    bundle: Bundle = digits_bundle(tmp_path_factory.mktemp("drawn") / "onnx", spec, drawn_tensors(spec))
    found = opened({"digits": bundle})
    yield found
    found.close()


@pytest.fixture(scope="module")
def spoilt(service: Service) -> Iterator[tuple[Spoilt, str]]:
    app, port = Spoilt(kept_open(application(service))), free_port()
    with serving_app(app, port):
        yield app, f"http://127.0.0.1:{port}"


def broken_rules(url: str, input_name: str | None = None) -> set[str]:
    findings = check_server(Subject(OipClient(url), "digits", input_name))
    return {finding.rule for finding in findings if finding.verdict == "broken"}


@pytest.mark.parametrize("input_name", [None, "images"])
def test_a_server_that_is_right_passes(spoilt: tuple[Spoilt, str], input_name: str | None) -> None:
    spoilt[0].before = spoilt[0].after = None
    assert broken_rules(spoilt[1], input_name) == set()


@pytest.mark.parametrize("name", BROKEN)
def test_a_server_that_is_wrong_is_found_out(name: str, spoilt: tuple[Spoilt, str]) -> None:
    when, fault, rules = BROKEN[name]
    spoilt[0].before, spoilt[0].after = (fault, None) if when == "before" else (None, fault)
    found = broken_rules(spoilt[1])
    assert rules <= found, found


def test_every_rule_is_broken_by_some_server() -> None:
    tried = set().union(*(rules for _, _, rules in BROKEN.values()))
    assert RULES.keys() == tried
    assert len(BROKEN) >= 20


def test_the_command_says_what_is_broken(spoilt: tuple[Spoilt, str], capsys: pytest.CaptureFixture[str]) -> None:
    spoilt[0].before = spoilt[0].after = None
    assert run(["oip-check", spoilt[1], "--model", "digits"]) == 0
    assert "keeps the 35 rules" in capsys.readouterr().err
    spoilt[0].after = BROKEN["ids are lost"][1]
    assert run(["oip-check", spoilt[1], "--model", "digits", "--json"]) == 1
    shown = capsys.readouterr()
    assert [rule["rule"] for rule in json.loads(shown.out)["rules"] if rule["verdict"] == "broken"] == ["id"]
    assert "1 of 35 rules are broken: id" in shown.err
    spoilt[0].after = None


def test_a_server_that_is_not_there_is_told_in_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["oip-check", f"http://127.0.0.1:{free_port()}", "--model", "digits"]) == 3
    assert "does not answer" in capsys.readouterr().err
    assert run(["oip-check", "ftp://127.0.0.1", "--model", "digits"]) == 2


def test_a_key_comes_from_a_file(
    tmp_path: Path, spoilt: tuple[Spoilt, str], capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[str] = []
    spoilt[0].before = lambda exchange: seen.append(exchange.authorization)
    spoilt[0].after = None
    (tmp_path / "key").write_text("secret-7\n")
    command = ["oip-check", spoilt[1], "--model", "digits", "--key-file"]
    assert run([*command, str(tmp_path / "key")]) == 0
    assert set(seen) == {"Bearer secret-7"}
    (tmp_path / "key").write_text("two words")
    assert run([*command, str(tmp_path / "key")]) == 3
    assert run([*command, str(tmp_path / "none")]) == 3
    spoilt[0].before = None
