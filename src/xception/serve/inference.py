"""The Open Inference Protocol for a model: what it takes and gives, and the way from a request to an answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, cast, get_args

import numpy as np
from numpy.typing import NDArray

from xception.data.pixels import Mode
from xception.metrics import probabilities, top_k
from xception.oip.documents import (
    InferRequest,
    InferResponse,
    ModelMetadata,
    OipError,
    Parameters,
    ServerMetadata,
    TensorFacts,
    WantedOutput,
)
from xception.oip.tensors import STRINGS, Output, stated, wants_binary
from xception.serve.batcher import Done
from xception.serve.limits import FLOAT_BYTES, JSON_NUMBER_BYTES, REPLY_HEAD_BYTES, TEXT_BYTES, Limits
from xception.serve.model import Answer, ServedModel, Work
from xception.serve.photos import SentPhoto
from xception.serve.refusal import Refusal
from xception.serve.service import PhotoOutcome
from xception.version import __version__

IMAGES_INPUT = "images"
"""Input of encoded images, BYTES (N)."""

ERROR = "error"
"""Output of a partial answer: for each image why it could not be used, or nothing."""

BEST = 5
"""Names of classes per image in the output `labels`."""

MAX_ID_CHARACTERS = 256

ERROR_BYTES = 1024
"""Bytes of the sentence about one image."""

EXTENSIONS = ("binary_tensor_data", "classification", "schedule_policy")
"""Triton's names of what is understood beyond the protocol; of the last, the timeout."""

REFUSED_PARAMETERS = ("sequence_id", "sequence_start", "sequence_end")
"""Parameters that would change the answer, and are not honoured."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """An output that is asked for."""

    name: str
    binary: bool
    classes: int | None = None
    """The likeliest classes in place of the values, as strings."""


@dataclass(frozen=True, kw_only=True)
class Inference:
    """A request that was understood."""

    works: Sequence[Work]
    outputs: Sequence[Wanted]
    id: str | None
    timeout_s: float | None
    partial: bool
    """Answer the images that can be used, and name the others."""


def server_metadata() -> ServerMetadata:
    """The document of the server."""
    return ServerMetadata(name="xception", version=__version__, extensions=EXTENSIONS)


def model_metadata(model: ServedModel) -> ModelMetadata:
    """The document of a model."""
    form = model.bundle.model.form
    return ModelMetadata(
        name=model.name,
        versions=(model.version,),
        platform=f"xception_{form}",
        inputs=(tensor_input(model), TensorFacts(name=IMAGES_INPUT, datatype=STRINGS, shape=(-1,), optional=True)),
        outputs=tuple(TensorFacts(name=name, datatype=kind, shape=shape) for name, kind, shape in _outputs(model)),
        parameters=identity(model),
    )


def identity(model: ServedModel) -> Parameters:
    """The facts that say which model answers."""
    return {"model_digest": model.digest, "preprocess_id": model.preprocess_id}


def tensor_input(model: ServedModel) -> TensorFacts:
    """The input that the graph itself takes; either it or `images` is sent."""
    graph = model.bundle.model.graph
    channels, *size = model.engine.session.facts.input_shape
    sides = [-1 if side is None else side for side in size]
    is_image = model.engine.session.facts.input_values == "image"
    shape = (-1, *sides, channels) if graph and graph.input_layout == "nhwc" else (-1, channels, *sides)
    return TensorFacts(
        name=graph.input_name if graph else "pixels",
        datatype="UINT8" if is_image else "FP32",
        shape=shape,
        optional=True,
    )


def _outputs(model: ServedModel) -> list[tuple[str, str, tuple[int, ...]]]:
    """Names, types and shapes of all outputs."""
    network = model.bundle.model.network
    if not network.num_classes:
        return [("embedding", "FP32", (-1, network.num_outputs))]
    found: list[tuple[str, str, tuple[int, ...]]] = [("logits", "FP32", (-1, network.num_classes))]
    if model.bundle.model.activation != "none":
        found.append(("probabilities", "FP32", (-1, network.num_classes)))
    found.append(("labels", STRINGS, (-1, min(BEST, network.num_classes))))
    if model.map_px is not None:
        found.append(("class_maps", "FP32", (-1, network.num_classes, *model.map_px)))
    return found


def inference(model: ServedModel, request: InferRequest, values: Sequence[NDArray[Any]], limits: Limits) -> Inference:
    """A request to a model, from its document and the values of its inputs in their order.

    Raises:
        OipError: it is not as the protocol or the model's metadata say.
        Refusal: it has more images than are taken at once.
    """
    _check_parameters(request)
    works = _works(model, request, values, limits)
    return Inference(
        works=works,
        outputs=_wanted(model, request),
        id=request.id,
        timeout_s=_timeout_s(request.parameters),
        partial=_flag(request.parameters, "partial"),
    )


def _check_parameters(request: InferRequest) -> None:
    if request.id is not None and len(request.id) > MAX_ID_CHARACTERS:
        raise OipError(f"the id has {len(request.id)} characters; expected at most {MAX_ID_CHARACTERS}")
    for name in REFUSED_PARAMETERS:
        if request.parameters.get(name):
            raise OipError(
                f"the parameter {name} is not honoured, since each image is answered by itself; leave it out"
            )


def _flag(parameters: Parameters, name: str) -> bool:
    value = parameters.get(name, False)
    if not isinstance(value, bool):
        raise OipError(f"the parameter {name} is {value!r:.40}; expected true or false")
    return value


def _mode(parameters: Parameters) -> Mode | None:
    """The way from files to pixels that a request asks for in place of the server's own."""
    found = parameters.get("pixels")
    known = get_args(Mode)
    if found is not None and found not in known:
        raise OipError(f"the parameter pixels is {found!r:.40}; expected {', '.join(known)}")
    return cast(Mode | None, found)


def _timeout_s(parameters: Parameters) -> float | None:
    """The protocol's parameter is in microseconds, and 0 is none."""
    value = parameters.get("timeout", 0)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise OipError(f"the parameter timeout is {value!r:.40}; expected microseconds, a whole number from 0")
    return value / 1e6 or None


def _works(model: ServedModel, request: InferRequest, values: Sequence[NDArray[Any]], limits: Limits) -> list[Work]:
    tensor = tensor_input(model)
    if len(request.inputs) != 1 or request.inputs[0].name not in (tensor.name, IMAGES_INPUT):
        given = ", ".join(f"{one.name!r:.40}" for one in request.inputs[:4]) or "none"
        raise OipError(f"the inputs are {given}; expected one, {tensor.name!r} or {IMAGES_INPUT!r}")
    (array,) = values
    facts = (
        tensor
        if request.inputs[0].name == tensor.name
        else TensorFacts(name=IMAGES_INPUT, datatype=STRINGS, shape=(-1,))
    )
    _check_input(request.inputs[0].datatype, array.shape, facts)
    if len(array) > limits.max_images:
        raise Refusal(413, "size", f"the request has {len(array)} images; expected at most {limits.max_images}")
    if facts.datatype == STRINGS:
        mode = _mode(request.parameters)
        return [SentPhoto(data, mode=mode) for data in array]
    graph = model.bundle.model.graph
    return list(array.transpose(0, 3, 1, 2) if graph and graph.input_layout == "nhwc" else array)


def _check_input(datatype: str, shape: Sequence[int], facts: TensorFacts) -> None:
    fits = len(shape) == len(facts.shape) and all(
        own in (side, -1) for side, own in zip(shape, facts.shape, strict=False)
    )
    if datatype != facts.datatype or not fits or 0 in shape:
        raise OipError(
            f"the input {facts.name!r} is {datatype} of the shape {list(shape)}; expected {facts.datatype} of the "
            f"shape {list(facts.shape)}, where -1 is any number from 1"
        )


def _wanted(model: ServedModel, request: InferRequest) -> list[Wanted]:
    known = [name for name, *_ in _outputs(model)]
    asked = request.outputs if request.outputs is not None else tuple(WantedOutput(name=name) for name in known)
    names = [output.name for output in asked]
    if unknown := [name for name in names if name not in known]:
        raise OipError(f"there is no output {unknown[0]!r:.80}; expected some of {', '.join(known)}")
    if len(set(names)) < len(names):
        raise OipError("an output is asked for twice; expected each once")
    return [
        Wanted(
            name=output.name,
            binary=wants_binary(output.parameters, request.parameters),
            classes=_classes(output, model.bundle.model.network.num_classes),
        )
        for output in asked
    ]


def _classes(output: WantedOutput, num_classes: int) -> int | None:
    value = output.parameters.get("classification", 0)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise OipError(f"the parameter classification is {value!r:.40}; expected a number of classes")
    if value and output.name not in ("logits", "probabilities"):
        raise OipError(f"the output {output.name!r} names no classes by itself; ask for the classification of logits")
    return min(value, num_classes) or None


def response(
    model: ServedModel, asked: Inference, outcomes: Sequence[PhotoOutcome]
) -> tuple[InferResponse, list[bytes]]:
    """The answer to a request: its document, and the raw bytes of the outputs that are asked for as such.

    Raises:
        Refusal: an image could not be used, and no partial answer is asked for.
        OipError: JSON cannot hold the values.
    """
    failed = {place: outcome for place, outcome in enumerate(outcomes) if isinstance(outcome, Refusal)}
    if failed:
        _check_failures(failed, len(outcomes), partial=asked.partial)
    answers = [outcome.result if isinstance(outcome, Done) else None for outcome in outcomes]
    outputs = [Output(want.name, _values(model, want, answers), want.binary) for want in asked.outputs]
    if asked.partial:
        errors = [failed[place].sentence.encode() if place in failed else b"" for place in range(len(outcomes))]
        outputs.append(Output(ERROR, _objects([[text] for text in errors])[:, 0], all(w.binary for w in asked.outputs)))
    tensors, raw = stated(outputs)
    document = InferResponse(
        model_name=model.name,
        model_version=model.version,
        id=asked.id,
        parameters=identity(model),
        outputs=tensors,
    )
    return document, raw


def response_bytes(model: ServedModel, asked: Inference) -> int:
    """The most bytes of a response, and of the model's answers that it is made of."""
    sizes = {name: prod(shape[1:]) for name, _, shape in _outputs(model)}
    label_bytes = model.label_bytes + TEXT_BYTES
    per_image = FLOAT_BYTES * model.answer_values + ERROR_BYTES * asked.partial
    for want in asked.outputs:
        is_text = want.name == "labels" or want.classes
        number_bytes = FLOAT_BYTES if want.binary else JSON_NUMBER_BYTES
        per_image += label_bytes * (want.classes or sizes[want.name]) if is_text else number_bytes * sizes[want.name]
    return REPLY_HEAD_BYTES + len(asked.works) * per_image


def _check_failures(failed: Mapping[int, Refusal], images: int, *, partial: bool) -> None:
    """Refuse a request of which images failed, unless these are the client's and the others are enough for it."""
    first = next(iter(failed.values()))
    servers = [refusal for refusal in failed.values() if refusal.status >= 500]
    if servers:
        raise servers[0]
    if partial:
        return
    if images == 1:
        raise first
    places = ", ".join(map(str, failed))
    raise Refusal(400, first.reason, f"{len(failed)} of {images} images cannot be used ({places}): {first.sentence}")


def _values(model: ServedModel, want: Wanted, answers: Sequence[Answer | None]) -> NDArray[Any]:
    """An output's values; the rows of images without an answer are zeros, or empty."""
    if want.name == "class_maps":
        return _rows(
            [None if answer is None else answer.maps for answer in answers],
            (model.bundle.model.network.num_classes, *(model.map_px or ())),
        )
    logits = _rows(
        [None if answer is None else answer.logits for answer in answers], (model.bundle.model.network.num_outputs,)
    )
    values = logits
    if want.name == "probabilities":
        values = probabilities(logits, model.bundle.model.activation).astype(np.float32)
        values[[place for place, answer in enumerate(answers) if answer is None]] = 0
    names, known = model.bundle.labels.names, [answer is not None for answer in answers]
    if want.name == "labels":
        best = top_k(logits, BEST)
        return _objects([[names[i].encode() * ok for i in row] for row, ok in zip(best, known, strict=True)])
    if want.classes:
        best = top_k(values, want.classes)
        return _objects(
            [[f"{values[n, i]:f}:{i}:{names[i]}".encode() * known[n] for i in row] for n, row in enumerate(best)]
        )
    return values


def _rows(rows: Sequence[NDArray[np.float32] | None], shape: tuple[int, ...]) -> NDArray[np.float32]:
    found = np.zeros((len(rows), *shape), np.float32)
    for place, row in enumerate(rows):
        if row is not None:
            found[place] = row
    return found


def _objects(rows: Sequence[Sequence[bytes]]) -> NDArray[Any]:
    found = np.empty((len(rows), len(rows[0]) if rows else 0), object)
    for place, row in enumerate(rows):
        found[place] = row
    return found
