"""A model with a single logit as a model with two classes, so that all figures apply to it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from xception.backends.base import Logits, Session
from xception.bundle import Bundle
from xception.errors import InputError, UsageError
from xception.labels import Labels, index_classes
from xception.pipeline.engine import Engine


class WithNegative:
    """A session of one logit with a second one, of zero, in front of it: the softmax of the two is the sigmoid."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.facts = replace(session.facts, num_outputs=2)

    def __call__(self, pixels: NDArray[Any], /) -> Logits:
        logits = self._session(pixels)
        return np.concatenate([np.zeros_like(logits), logits], axis=1)

    def close(self) -> None:
        self._session.close()


def check_classes(bundle: Bundle) -> None:
    """Refuse a model that answers with embeddings, where classes are asked for.

    Raises:
        UsageError: it has no classes.
    """
    if not bundle.model.network.num_classes:
        raise UsageError(
            f"{bundle.path} has no classes: its answers are {bundle.model.network.answers}, which are neither right "
            "nor wrong; expected a classifier, which xception train --from makes of it, and xception convert "
            "--new-head of its file"
        )


def two_classes(engine: Engine, classes: Sequence[str] = ()) -> Engine:
    """The engine itself, or that of a one-logit sigmoid as one of two classes: not the model's class, and the class.

    All that judges classes begins here, so that a model without any is refused here.

    Args:
        engine: the opened model.
        classes: names of the data's classes, of which the one that is not the model's names the negative class.

    Raises:
        UsageError: the model has no classes.
        InputError: the data have other classes than the model's and one more.
    """
    bundle = engine.bundle
    check_classes(bundle)
    if len(bundle.labels) != 1 or bundle.model.activation != "sigmoid":
        return engine
    labels = Labels((_negative(bundle.labels.names[0], classes), bundle.labels.names[0]))
    model = msgspec.structs.replace(bundle.model, activation="softmax")
    adapted = replace(bundle, model=model, labels=labels)
    return replace(engine.with_lane(session=WithNegative(engine.session)), bundle=adapted)


def _negative(positive: str, classes: Sequence[str]) -> str:
    others = [name for name in classes if name != positive]
    if not others or set(classes) <= set(index_classes(2)):
        return f"not {positive}"
    if len(others) != 1 or len(classes) != 2:
        raise InputError(
            f"the model gives one probability, that of {positive!r}, and the data have the classes "
            f"{', '.join(classes[:4])}; expected two, one of them {positive!r}: name the model's class as the data do "
            "(xception convert --labels), or map the data's name to it (--class-map)"
        )
    return others[0]
