"""A model's logits on every image of a set, kept so that two models can be compared image by image."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xception.backends.base import Logits
from xception.bundle import Score
from xception.data.source import Source, is_multi_label
from xception.errors import CheckFailed, InputError
from xception.intervals import wilson
from xception.metrics import Activation, check_probabilities, loss, rank_of_target
from xception.pipeline.engine import Engine
from xception.pipeline.lane import Scored
from xception.tasks.binary import two_classes
from xception.tasks.compare import MAX_FLIPS, Flip, by_swing, flip
from xception.tasks.targets import relabelled
from xception.waits import each


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """Logits (N, K) of the images that could be read, and their true classes where the data have labels."""

    data: str
    names: tuple[str, ...]
    """Class names, as many as logits."""
    keys: tuple[str, ...]
    """Keys of those images."""
    logits: Logits
    targets: NDArray[np.int64] | None
    failed: int
    activation: Activation = "softmax"

    @property
    def predicted(self) -> NDArray[np.intp]:
        """The likeliest class of each image."""
        return np.asarray(self.logits.argmax(1))

    @property
    def is_right(self) -> NDArray[np.bool_]:
        """True for each image that is classified correctly; for none without labels."""
        return np.zeros(len(self.logits), bool) if self.targets is None else self.predicted == self.targets

    def score(self) -> Score:
        """The accuracy in short, with 95 % Wilson intervals; None in place of each figure without labels."""
        seen = len(self.logits)
        counts = {"total": seen + self.failed, "seen": seen, "failed": self.failed}
        if self.targets is None or not seen:
            return Score(**counts, top1=None, top5=None, loss=None)
        ranks = rank_of_target(self.logits, self.targets)
        return Score(
            **counts,
            top1=wilson(int(self.is_right.sum()), seen),
            top5=wilson(int((ranks < 5).sum()), seen) if self.logits.shape[1] > 5 else None,
            loss=float(loss(self.logits, self.targets, self.activation).mean()),
        )


def model_outputs(engine: Engine, source: Source) -> Outputs:
    """Run a model over a data set, with or without labels.

    Raises:
        InputError: no image can be read, or a class of the data is none of the model's.
        CheckFailed: logits that are not finite numbers.
    """
    # Multi-label data have no likeliest class that is right or wrong: there, too, the two models are compared.
    is_labelled = len(source) > 0 and source[0].target is not None and not is_multi_label(source)
    engine = two_classes(engine, source.classes if is_labelled else ())
    bundle = engine.bundle
    check_probabilities(bundle.model.activation)
    items = relabelled(source, bundle.labels.targets(source.classes)) if is_labelled else source
    outcomes = list(each(engine.judging().run(items), f"answering {source.name}", len(source)))
    scored = [outcome for outcome in outcomes if isinstance(outcome, Scored)]
    if not scored:
        raise InputError(f"none of the {len(outcomes)} images of {source.name} can be read; expected at least one")
    logits = np.stack([outcome.logits for outcome in scored])
    if not np.isfinite(logits).all():
        raise CheckFailed(f"logits of {bundle.path} are not finite numbers; the model is broken: make it again")
    return Outputs(
        data=source.name,
        names=bundle.labels.names,
        keys=tuple(outcome.item.key for outcome in scored),
        logits=logits,
        targets=np.array([outcome.item.target for outcome in scored]) if is_labelled else None,
        failed=len(outcomes) - len(scored),
        activation=bundle.model.activation,
    )


def class_flips(parent: Outputs, candidate: Outputs) -> tuple[Flip, ...]:
    """Images that two models give different classes, those first whose probabilities change most; not all if many."""
    targets = [None] * len(parent.keys) if parent.targets is None else parent.targets.tolist()
    rows = zip(parent.keys, targets, zip(parent.logits, candidate.logits, strict=True), strict=True)
    activations = parent.activation, candidate.activation
    flips = [
        flip(parent.names, *row, activations)
        for row, same in zip(rows, parent.predicted == candidate.predicted, strict=True)
        if not same
    ]
    return tuple(sorted(flips, key=by_swing)[:MAX_FLIPS])
