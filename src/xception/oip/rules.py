"""The rules of the Open Inference Protocol v2 over HTTP, each with the check of it."""

from collections.abc import Callable, Mapping
from math import prod
from typing import Any, NamedTuple

import numpy as np

from xception.inputs import parse_json
from xception.oip.client import Reply
from xception.oip.documents import InferResponse, document_bytes
from xception.oip.subject import NotAsked, Subject, break_rule
from xception.oip.tensors import DATATYPES, HEADER_LENGTH, STRINGS, Array

SAME_ANSWER = 1e-3
"""Largest difference of the same answer, over the largest value: batches of other sizes round otherwise."""

BINARY_EXTENSIONS = ("binary_tensor_data", "binary")


class Rule(NamedTuple):
    """A rule in words, and the check of it."""

    words: str
    check: Callable[[Subject], None]


def _json(reply: Reply, status: int = 200) -> Any:
    """The document of a reply, which has to be JSON as the standard has it."""
    if reply.status != status:
        break_rule(f"the status is {reply.status}; expected {status}")
    try:
        return parse_json(reply.body, dict[str, Any])  # which takes no NaN, as the standard has it
    except ValueError as error:
        break_rule(f"the body is no document in JSON: {error}")


def _refused(reply: Reply) -> None:
    if not 400 <= reply.status < 500:
        break_rule(f"the status is {reply.status}; expected one of 400 to 499")
    if reply.error is None:
        break_rule(f"the body is {reply.body[:100]!r}; expected a document with the sentence error")


def _facts(found: Any, kinds: Mapping[str, type | tuple[type, ...]]) -> None:
    for key, kind in kinds.items():
        if not isinstance(found, dict) or not isinstance(found.get(key), kind):
            break_rule(f"{key} is {found.get(key) if isinstance(found, dict) else found!r:.80}")


def _same(found: Mapping[str, Array], expected: Mapping[str, Array]) -> None:
    if set(found) != set(expected):
        break_rule(f"the outputs are {', '.join(sorted(found))}; expected {', '.join(sorted(expected))}")
    for name, values in expected.items():
        if not _alike(found[name], values):
            break_rule(f"the output {name} has other values")


def _alike(found: Array, expected: Array) -> bool:
    if found.shape != expected.shape or found.dtype != expected.dtype:
        return False
    if found.dtype.kind != "f":
        return bool((found == expected).all())
    largest = float(np.abs(expected).max(initial=0)) or 1.0
    return bool(np.abs(found.astype(np.float64) - expected).max(initial=0) <= SAME_ANSWER * largest)


def _server(subject: Subject) -> None:
    found = _json(subject.client.ask("GET", "/v2"))
    _facts(found, {"name": str, "version": str, "extensions": list})
    if not all(isinstance(name, str) for name in found["extensions"]):
        break_rule("extensions are no strings")


def _live(subject: Subject) -> None:
    if (status := subject.client.ask("GET", "/v2/health/live").status) != 200:
        break_rule(f"the status is {status}; expected 200")


def _ready(subject: Subject) -> None:
    if (status := subject.client.ask("GET", "/v2/health/ready").status) != 200:
        break_rule(f"the status is {status}; expected 200")


def _model(subject: Subject) -> None:
    found = _json(subject.client.ask("GET", f"/v2/models/{subject.name}"))
    _facts(found, {"name": str, "platform": str, "inputs": list, "outputs": list})
    if found["name"] != subject.name:
        break_rule(f"the name is {found['name']!r:.80}")
    for tensor in (*found["inputs"], *found["outputs"]):
        _facts(tensor, {"name": str, "datatype": str, "shape": list})
        if tensor["datatype"] not in (*DATATYPES.values(), STRINGS):
            break_rule(f"the tensor {tensor['name']!r:.80} has the type {tensor['datatype']!r:.40}")
        if not all(type(side) is int and side >= -1 for side in tensor["shape"]):
            break_rule(f"the tensor {tensor['name']!r:.80} has the shape {tensor['shape']!s:.80}")


def _model_ready(subject: Subject) -> None:
    if (status := subject.client.ask("GET", f"/v2/models/{subject.name}/ready").status) != 200:
        break_rule(f"the status is {status}; expected 200")


def _unknown_model(subject: Subject) -> None:
    _refused(subject.client.ask("GET", "/v2/models/no-such-model"))
    _refused(subject.post_any(path="/v2/models/no-such-model/infer"))


def _versions(subject: Subject) -> tuple[str, ...]:
    if not subject.metadata.versions:
        raise NotAsked("the model has no versions")
    return subject.metadata.versions


def _version_metadata(subject: Subject) -> None:
    for version in _versions(subject)[:1]:
        found = _json(subject.client.ask("GET", f"/v2/models/{subject.name}/versions/{version}"))
        _facts(found, {"name": str, "inputs": list})


def _version_infer(subject: Subject) -> None:
    version = _versions(subject)[-1]
    reply = subject.post_any(path=f"/v2/models/{subject.name}/versions/{version}/infer")
    document, _ = subject.answer(reply)
    if document.model_version != version:
        break_rule(f"the answer's model_version is {document.model_version!r:.80}; expected {version!r}")


def _unknown_version(subject: Subject) -> None:
    _versions(subject)
    _refused(subject.client.ask("GET", f"/v2/models/{subject.name}/versions/no-such-version"))


def _infer(subject: Subject) -> None:
    document, found = subject.plain
    if document.model_name != subject.name:
        break_rule(f"the model_name is {document.model_name!r:.80}; expected {subject.name!r}")
    if not found:
        break_rule("the answer has no outputs")


def _counts(subject: Subject) -> None:
    found = _json(subject.post_any())
    for tensor in found["outputs"]:
        _facts(tensor, {"name": str, "datatype": str, "shape": list, "data": list})
        count = len(_flat(tensor["data"]))
        if count != prod(tensor["shape"]):
            break_rule(f"the output {tensor['name']!r:.80} has {count} values for the shape {tensor['shape']}")


def _flat(data: Any) -> list[Any]:
    return [value for part in data for value in _flat(part)] if isinstance(data, list) else [data]


def _strict_json(subject: Subject) -> None:
    reply = subject.post_any()
    _json(reply)
    if reply.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        break_rule(f"the media type is {reply.headers.get('content-type')!r:.80}; expected application/json")


def _as_described(subject: Subject) -> None:
    described = {facts.name: facts for facts in subject.metadata.outputs}
    document, found = subject.plain
    if set(found) != set(described):
        break_rule(f"the outputs are {', '.join(sorted(found))}; described are {', '.join(sorted(described))}")
    for tensor in document.outputs:
        facts = described[tensor.name]
        fits = len(facts.shape) == len(tensor.shape) and all(
            own in (side, -1) for own, side in zip(facts.shape, tensor.shape, strict=True)
        )
        if tensor.datatype != facts.datatype or not fits:
            break_rule(f"the output {tensor.name!r:.80} is {tensor.datatype} of {tensor.shape}, described otherwise")


def _batches(subject: Subject) -> None:
    if not subject.takes_batches:
        raise NotAsked("the model takes no batches")
    _, found = subject.answer(subject.post_any(subject.values(2)))
    for name, values in found.items():
        if values.shape[:1] != (2,):
            break_rule(f"the output {name!r:.80} of two images has the shape {list(values.shape)}")
    for number in range(2):
        _, one = subject.answer(subject.post_any(subject.values(1, first=number)))
        _same({name: values[number : number + 1] for name, values in found.items()}, one)


def _again(subject: Subject) -> None:
    _same(subject.answer(subject.post_any())[1], subject.plain[1])


def _id(subject: Subject) -> None:
    wanted = 'an id, 7-\u00e4\u4e2d"\\'
    document, _ = subject.answer(subject.post_any(id=wanted))
    if document.id != wanted:
        break_rule(f"the answer's id is {document.id!r:.80}; expected {wanted!r}")


def _no_id(subject: Subject) -> None:
    document, _ = subject.plain
    if document.id is not None:
        break_rule(f"the answer's id is {document.id!r:.80}; none was sent")


def _nested(subject: Subject) -> None:
    document = subject.document()
    for tensor in document["inputs"]:
        tensor["data"] = np.array(tensor["data"], object).reshape(tensor["shape"]).tolist()
    _same(subject.answer(subject.post(document))[1], subject.plain[1])


def _chosen(subject: Subject) -> None:
    name = subject.metadata.outputs[-1].name
    _, found = subject.answer(subject.post_any(outputs=[{"name": name}]))
    _same(found, {name: subject.plain[1].get(name, np.empty(0))})


def _unknown_output(subject: Subject) -> None:
    _refused(subject.post_any(outputs=[{"name": "no-such-output"}]))


def _unknown_keys(subject: Subject) -> None:
    _same(subject.answer(subject.post_any(model_name=subject.name, parameters={"no_such": 1}))[1], subject.plain[1])


def _no_json(subject: Subject) -> None:
    for body in (b"", b"{", b"\xff{}", b"[1]"):
        _refused(subject.post(body))


def _no_inputs(subject: Subject) -> None:
    _refused(subject.post({}))
    _refused(subject.post({"inputs": []}))


def _changed(subject: Subject, **changes: Any) -> Reply:
    document = subject.document()
    document["inputs"][0].update(changes)
    return subject.post(document)


def _wrong_name(subject: Subject) -> None:
    _refused(_changed(subject, name="no-such-input"))


def _wrong_type(subject: Subject) -> None:
    _refused(_changed(subject, datatype="FP8"))


def _wrong_rank(subject: Subject) -> None:
    _refused(_changed(subject, shape=[*subject.document()["inputs"][0]["shape"], 1]))


def _wrong_count(subject: Subject) -> None:
    _refused(_changed(subject, data=subject.document()["inputs"][0]["data"][:-1]))


def _wrong_values(subject: Subject) -> None:
    data = subject.document()["inputs"][0]["data"]
    _refused(_changed(subject, data=["no number", *data[1:]]))


def _wrong_method(subject: Subject) -> None:
    _refused(subject.client.ask("GET", subject.path))


def _needs_binary(subject: Subject) -> None:
    found = _json(subject.client.ask("GET", "/v2"))
    if not set(BINARY_EXTENSIONS) & set(found.get("extensions", ())):
        raise NotAsked("the server does not name the extension binary_tensor_data")


def _binary_input(subject: Subject) -> None:
    _needs_binary(subject)
    _same(subject.answer(subject.post_binary(subject.values()))[1], subject.plain[1])


def _is_binary(document: InferResponse) -> dict[str, bool]:
    return {tensor.name: "binary_data_size" in tensor.parameters for tensor in document.outputs}


def _binary_output(subject: Subject) -> None:
    _needs_binary(subject)
    name = subject.metadata.outputs[0].name
    reply = subject.post_any(outputs=[{"name": name, "parameters": {"binary_data": True}}])
    if HEADER_LENGTH.lower() not in reply.headers:
        break_rule(f"the answer has no header {HEADER_LENGTH}")
    document, found = subject.answer(reply)
    if _is_binary(document) != {name: True}:
        break_rule("the output that was asked for as raw bytes has no binary_data_size")
    _same(found, {name: subject.plain[1][name]})


def _binary_outputs(subject: Subject) -> None:
    _needs_binary(subject)
    document, found = subject.answer(subject.post_any(parameters={"binary_data_output": True}))
    if not all(_is_binary(document).values()):
        break_rule("binary_data_output was sent, and an output came in JSON")
    _same(found, subject.plain[1])


def _own_wish(subject: Subject) -> None:
    _needs_binary(subject)
    name = subject.metadata.outputs[0].name
    wanted = [{"name": name, "parameters": {"binary_data": False}}]
    document, _ = subject.answer(subject.post_any(outputs=wanted, parameters={"binary_data_output": True}))
    if any(_is_binary(document).values()):
        break_rule("an output's own binary_data of false does not override binary_data_output")


def _binary_size(subject: Subject) -> None:
    _needs_binary(subject)
    values = subject.values()
    name, array = next(iter(values.items()))
    facts = {"name": name, "datatype": subject.inputs[0].datatype, "shape": list(array.shape)}
    head = document_bytes({"inputs": [{**facts, "parameters": {"binary_data_size": 1 << 20}}]})
    _refused(subject.client.ask("POST", subject.path, head + b"few bytes", {HEADER_LENGTH: str(len(head))}))


def _binary_header(subject: Subject) -> None:
    _needs_binary(subject)
    for length in ("1000000", "-1", "some"):
        _refused(subject.client.ask("POST", subject.path, b"{}", {HEADER_LENGTH: length}))


RULES: Mapping[str, Rule] = {
    "server-metadata": Rule("GET /v2 names the server, its version and its extensions", _server),
    "live": Rule("GET /v2/health/live is 200", _live),
    "ready": Rule("GET /v2/health/ready is 200", _ready),
    "model-metadata": Rule("GET /v2/models/NAME describes the model's tensors", _model),
    "model-ready": Rule("GET /v2/models/NAME/ready is 200", _model_ready),
    "unknown-model": Rule("a model that is not there is refused", _unknown_model),
    "version-metadata": Rule("a version of a model is described", _version_metadata),
    "version-infer": Rule("a version of a model answers, and says so", _version_infer),
    "unknown-version": Rule("a version that is not there is refused", _unknown_version),
    "infer": Rule("an inference is answered under the model's name", _infer),
    "json": Rule("an answer without raw bytes is JSON, and says so", _strict_json),
    "counts": Rule("an output has as many values as its shape says", _counts),
    "as-described": Rule("the outputs are those of the metadata", _as_described),
    "batches": Rule("an image's answer is the same by itself and in a batch", _batches),
    "again": Rule("the same request is answered the same way again", _again),
    "id": Rule("the id of a request comes back", _id),
    "no-id": Rule("a request without an id is answered without one", _no_id),
    "nested": Rule("nested data mean the same as flat data", _nested),
    "chosen-outputs": Rule("only the outputs that are asked for come", _chosen),
    "unknown-output": Rule("an output that is not there is refused", _unknown_output),
    "unknown-keys": Rule("unknown keys and parameters are ignored", _unknown_keys),
    "no-json": Rule("a body that is no request is refused", _no_json),
    "no-inputs": Rule("a request without inputs is refused", _no_inputs),
    "wrong-name": Rule("an input that is not there is refused", _wrong_name),
    "wrong-type": Rule("an input of a type that is none is refused", _wrong_type),
    "wrong-rank": Rule("an input with an axis too many is refused", _wrong_rank),
    "wrong-count": Rule("an input with a value too few is refused", _wrong_count),
    "wrong-values": Rule("an input with a string among its numbers is refused", _wrong_values),
    "wrong-method": Rule("inference by GET is refused", _wrong_method),
    "binary-input": Rule("raw bytes mean the same as JSON", _binary_input),
    "binary-output": Rule("an output comes as raw bytes where it is asked for so", _binary_output),
    "binary-outputs": Rule("all outputs come as raw bytes where that is asked for", _binary_outputs),
    "binary-own-wish": Rule("an output's own parameter overrides that of the request", _own_wish),
    "binary-size": Rule("fewer raw bytes than stated are refused", _binary_size),
    "binary-header": Rule("a length of the document that cannot be is refused", _binary_header),
}
"""All rules in the order in which they are checked."""
