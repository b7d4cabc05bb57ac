"""`POST /v1/classify`: labels for each photo of a request, or the reason why there are none."""

import base64
from collections.abc import Sequence
from http import HTTPStatus
from math import prod
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from xception.data.source import Item
from xception.pipeline.lane import Failure, Scored
from xception.pipeline.prediction import Guess, answered, prediction
from xception.serve.batcher import Done
from xception.serve.limits import FLOAT_BYTES, JSON_NUMBER_BYTES, REPLY_HEAD_BYTES, TEXT_BYTES
from xception.serve.model import Answer, ServedModel
from xception.serve.query import ClassifyOptions
from xception.serve.refusal import Refusal
from xception.serve.service import PhotoOutcome

RESULT_BYTES = 2048
"""One image's times, or the sentence about it, and marks."""

PNG_BYTES_PER_PX = 9
"""A PNG in three colours that cannot be compressed, and the same in base64."""


class _Document(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A part of the answer."""


class StageTimes(_Document, frozen=True):
    """Milliseconds of one image by stage; of a batch's time each image has an even share."""

    queue: float
    preprocess: float
    infer: float
    batch: int
    """Images of its batch."""


class ClassMap(_Document, frozen=True):
    """The class-activation map of the likeliest class."""

    label: str
    rows: list[list[float]]
    """(H', W'), by height."""


class PhotoResult(_Document, frozen=True):
    """The answer to one image: its likeliest classes or its embedding, or an error."""

    top: tuple[Guess, ...] = ()
    embedding: list[float] | None = None
    error: str | None = None
    status: int | None = None
    """The status that the image would have got as the only one of a request."""
    timing_ms: StageTimes | None = None
    class_map: ClassMap | None = None
    seen_png: str | None = None
    """The picture as the network sees it, base64."""


class Classified(_Document, frozen=True):
    """The answer to a request."""

    model: str
    version: str
    digest: str
    preprocess_id: str
    request_id: str
    seen: int
    failed: int
    results: tuple[PhotoResult, ...]


def classified(
    model: ServedModel, outcomes: Sequence[PhotoOutcome], options: ClassifyOptions, request_id: str
) -> Classified:
    """The answer to a request, an image each."""
    results = tuple(_result(model, outcome, options) for outcome in outcomes)
    failed = sum(result.error is not None for result in results)
    return Classified(
        model=model.name,
        version=model.version,
        digest=model.digest,
        preprocess_id=model.preprocess_id,
        request_id=request_id,
        seen=len(results) - failed,
        failed=failed,
        results=results,
    )


def classified_bytes(model: ServedModel, images: int, options: ClassifyOptions) -> int:
    """The most bytes of an answer, and of the model's answers that it is made of."""
    network, per_image = model.bundle.model.network, FLOAT_BYTES * model.answer_values + RESULT_BYTES
    if network.num_classes:
        most = network.num_classes if options.threshold else options.top
        per_image += min(most, network.num_classes) * (model.label_bytes + TEXT_BYTES)
    else:
        per_image += JSON_NUMBER_BYTES * network.num_outputs
    if options.maps:
        per_image += model.label_bytes + JSON_NUMBER_BYTES * prod(model.map_px or (0,))
    if options.seen:
        per_image += PNG_BYTES_PER_PX * model.input_pixels
    return REPLY_HEAD_BYTES + images * per_image


def _result(model: ServedModel, outcome: PhotoOutcome, options: ClassifyOptions) -> PhotoResult:
    if isinstance(outcome, Refusal):
        return PhotoResult(error=outcome.sentence, status=outcome.status)
    answer = outcome.result
    scored = answered(Scored(_NAMELESS, answer.logits))
    if isinstance(scored, Failure):
        return PhotoResult(error=scored.reason, status=HTTPStatus.INTERNAL_SERVER_ERROR)
    found = prediction(scored, model.bundle, options.top, options.threshold)
    return PhotoResult(
        top=found.top,
        embedding=None if found.embedding is None else found.embedding.tolist(),
        timing_ms=_times(outcome),
        class_map=_class_map(found.top[0], answer.maps) if options.maps and found.top else None,
        seen_png=base64.b64encode(answer.seen).decode() if answer.seen else None,
    )


_NAMELESS = Item("", None, lambda: b"")
"""Names of files that clients send are not looked at."""


def _times(done: Done[Answer]) -> StageTimes:
    seconds = done.result.seconds
    queue, preprocess, infer = (
        round(1000 * value, 3) for value in (done.queue_s, seconds.get("preprocess", 0.0), seconds.get("infer", 0.0))
    )
    return StageTimes(queue=queue, preprocess=preprocess, infer=infer, batch=done.batch)


def _class_map(best: Guess, maps: NDArray[np.float32] | None) -> ClassMap | None:
    if maps is None:
        return None
    rows: Any = maps[best.index].tolist()
    return ClassMap(label=best.label, rows=rows)
