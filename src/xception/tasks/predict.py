"""Class probabilities for images without labels."""

from collections.abc import Iterator
from typing import Unpack

import msgspec

from xception.backends.base import Session
from xception.bundle import Bundle
from xception.data.source import Source
from xception.metrics import softmax, top_k
from xception.pipeline.stream import Failure, Feed, infer


class Guess(msgspec.Struct, frozen=True, kw_only=True):
    """One class and its probability."""

    label: str
    index: int
    probability: float


class Prediction(msgspec.Struct, frozen=True, kw_only=True):
    """The likeliest classes of one image, best first."""

    path: str
    top: tuple[Guess, ...]


def predict(
    bundle: Bundle, session: Session, source: Source, *, top: int = 5, **feed: Unpack[Feed]
) -> Iterator[Prediction | Failure]:
    """A prediction or a failure for every image, in order; for `feed` see `pipeline.stream.infer`."""
    for outcome in infer(source, bundle.model.preprocess, session, **feed):
        if isinstance(outcome, Failure):
            yield outcome
            continue
        logits = outcome.logits[None]
        probabilities = softmax(logits)[0]
        guesses = tuple(
            Guess(label=bundle.labels.names[index], index=int(index), probability=float(probabilities[index]))
            for index in top_k(logits, top)[0]
        )
        yield Prediction(path=outcome.item.key, top=guesses)
