"""The gate: int8 is accepted only if it keeps the accuracy of the model that it came from."""

import msgspec
import numpy as np

from xception.bundle import Score
from xception.errors import CheckFailed
from xception.intervals import Interval, NonInferiority, mcnemar, non_inferiority, paired_difference, points_text
from xception.quantize.outputs import Outputs

TOLERANCE = 0.005
"""Largest loss of top-1 accuracy, as a fraction: half a point."""

MIN_SHARE = 0.99
"""Share of the parent's accuracy, the stricter demand where that accuracy is below one half."""

MIN_AGREEMENT = 0.98
"""Without labels: share of images with the parent's class. Models that lose half a point agree on about that many."""

MAX_LOGIT_ERROR = 0.25
"""Without labels: root mean square of the logits' differences over that of the parent's logits about their mean."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Parent and candidate on the same held-out images. Fractions; `reasons` say why the gate did not pass."""

    data: str
    parent: Score
    candidate: Score
    difference: Interval | None
    """The candidate's top-1 less the parent's, with its paired 95 % interval: negative where the candidate is worse.
    None without labels."""
    p_value: float | None
    """P-value of McNemar's exact test that the two are equally accurate."""
    non_inferiority: NonInferiority | None
    top1_agreement: float
    logit_error: float
    tolerance: float
    passed: bool
    reasons: tuple[str, ...]

    def sentence(self) -> str:
        """The verdict in words, with percentages."""
        if self.candidate.top1 is None or self.parent.top1 is None or not (self.difference and self.non_inferiority):
            words = (
                f"the parent's class on {self.top1_agreement:.2%} of {self.candidate.seen} held-out images without "
                f"labels, with a logit error of {self.logit_error:.3f}"
            )
        else:
            words = (
                f"{self.candidate.top1.value:.2%} of {self.candidate.seen} held-out images against "
                f"{self.parent.top1.value:.2%}, a difference of {self.difference.value * 100:+.2f} points; "
                f"{self.non_inferiority.sentence()}"
            )
        return "; ".join((words, *self.reasons))


def judge(parent: Outputs, candidate: Outputs, tolerance: float = TOLERANCE, *, is_strict: bool = False) -> Verdict:
    """Compare two models' outputs on the same images, by their labels or, without any, with each other.

    Args:
        parent: outputs of the model in float.
        candidate: outputs of the model in int8.
        tolerance: largest loss of top-1 accuracy, as a fraction.
        is_strict: pass only what is shown to be within the tolerance with 95 % confidence.
    """
    lost, won = parent.is_right & ~candidate.is_right, candidate.is_right & ~parent.is_right
    first, second = int(lost.sum()), int(won.sum())
    seen, is_labelled = len(parent.logits), parent.targets is not None
    test = non_inferiority(first, second, seen, tolerance) if is_labelled else None
    agreement, error = float((parent.predicted == candidate.predicted).mean()), _logit_error(parent, candidate)
    difference = paired_difference(first, second, seen) if is_labelled else None
    if test and difference:
        kept = float(candidate.is_right.sum() / max(1, parent.is_right.sum()))
        reasons = _labelled_reasons(difference.value, kept, test, tolerance, is_strict=is_strict)
    else:
        reasons = _unlabelled_reasons(agreement, error)
    return Verdict(
        data=parent.data,
        parent=parent.score(),
        candidate=candidate.score(),
        difference=difference,
        p_value=mcnemar(first, second) if is_labelled else None,
        non_inferiority=test,
        top1_agreement=agreement,
        logit_error=error,
        tolerance=tolerance,
        passed=not reasons,
        reasons=reasons,
    )


def check_parent(parent: Outputs) -> None:
    """Refuse a model that is no better than guessing: a copy of it would pass every comparison.

    Raises:
        CheckFailed: its accuracy may be that of chance, or without labels, it gives every image the same class.
    """
    top1, classes = parent.score().top1, parent.logits.shape[1]
    if top1 and classes > 1 and top1.low <= 1 / classes:
        raise CheckFailed(
            f"the float model is right on {top1.value:.2%} [{top1.low:.2%}, {top1.high:.2%}] of {len(parent.logits)} "
            f"images of {parent.data}, which may be no better than guessing among {classes} classes; nothing was "
            "quantized: correct the model, its labels or its preprocessing first"
        )
    if not top1 and classes > 1 and len(parent.logits) > 1 and len(np.unique(parent.predicted)) == 1:
        raise CheckFailed(
            f"the float model gives all {len(parent.logits)} images of {parent.data} the same class; "
            "nothing was quantized: correct the model, or pass images of more than one class"
        )


def _labelled_reasons(
    difference: float, kept: float, test: NonInferiority, tolerance: float, *, is_strict: bool
) -> tuple[str, ...]:
    reasons = []
    if -difference > tolerance:
        reasons.append(f"worse by more than the {points_text(tolerance)} allowed")
    if kept < MIN_SHARE:
        reasons.append(f"{kept:.2%} of the parent's accuracy, less than the {MIN_SHARE:.0%} demanded")
    if test.verdict == "no" or (is_strict and test.verdict != "yes"):
        reasons.append(
            "not shown to be within the tolerance, as --strict demands" if is_strict else "shown to be worse"
        )
    return tuple(reasons)


def _unlabelled_reasons(agreement: float, error: float) -> tuple[str, ...]:
    reasons = []
    if agreement < MIN_AGREEMENT:
        reasons.append(f"less than the agreement of {MIN_AGREEMENT:.0%} demanded")
    if error > MAX_LOGIT_ERROR:
        reasons.append(f"more than the logit error of {MAX_LOGIT_ERROR:g} allowed")
    return tuple(reasons)


def _logit_error(parent: Outputs, candidate: Outputs) -> float:
    ours, theirs = candidate.logits, parent.logits
    if parent.activation == "softmax":
        # A constant added to all logits of an image changes no probability.
        ours, theirs = (logits - logits.mean(1, keepdims=True) for logits in (ours, theirs))
    return float(np.sqrt(((ours - theirs) ** 2).mean() / max((theirs**2).mean(), np.finfo(np.float32).tiny)))
