"""The gate: int8 is accepted only if it keeps the accuracy of the model that it came from."""

from typing import Literal

import msgspec

from xception.tasks.evaluate import Evaluation

Method = Literal["max", "percentile", "entropy"]
"""How the range of an activation is chosen from what calibration saw of it."""

TOLERANCE = 0.005
"""Largest loss of top-1 accuracy, as a fraction: half a point."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Parent and candidate on the same held-out images."""

    method: Method
    parent: Evaluation
    candidate: Evaluation
    drop: float
    """Parent's top-1 less the candidate's; negative where the candidate is better."""
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether the loss is within the tolerance."""
        return self.drop <= self.tolerance

    def sentence(self) -> str:
        """The verdict in words, with percentages."""
        parent, candidate = (_top1(evaluation) for evaluation in (self.parent, self.candidate))
        comparison = "within" if self.passed else "more than"
        return (
            f"int8 by {self.method}: {candidate:.2%} of {self.candidate.seen} held-out images against {parent:.2%}, "
            f"a loss of {self.drop * 100:+.2f} points, {comparison} the {self.tolerance * 100:g} allowed"
        )


def judge(method: Method, parent: Evaluation, candidate: Evaluation, tolerance: float = TOLERANCE) -> Verdict:
    """Compare two evaluations of the same data."""
    # Rounded, so that a loss of exactly the tolerance does not fail by the last bit of a subtraction.
    drop = round(_top1(parent) - _top1(candidate), 12)
    return Verdict(method=method, parent=parent, candidate=candidate, drop=drop, tolerance=tolerance)


def _top1(evaluation: Evaluation) -> float:
    return evaluation.top1.value if evaluation.top1 else 0.0
