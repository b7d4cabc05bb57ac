"""Answers of a vendor's tool, counted as those of a model are, as far as its files tell."""

import hashlib
from collections.abc import Sequence
from typing import Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

from xception.backends.base import Logits
from xception.data.source import Item
from xception.errors import CheckFailed, InputError
from xception.interchange.vendor_answers import Outcome, Unreadable, VendorAnswer
from xception.labels import Labels
from xception.metrics import Activation
from xception.pipeline.lane import Failure, Scored
from xception.tasks.evaluation import Evaluation, VendorFacts
from xception.tasks.kept_logits import KeptLogits
from xception.tasks.label_issues import with_label_issues
from xception.tasks.provenance import FINGERPRINT_BITS
from xception.tasks.tally import Tally

ScoreMeaning = Literal["logits", "probabilities"]

BACKGROUND = "background"
"""Name of the class in front of the model's own, where results have one more value."""

MAX_SUM_ERROR = 0.02
"""Distance of the sum of an image's probabilities from one; those of half precision are that far off."""

MIN_LOG = -104.0
"""Logarithm that stands for a probability of zero: below that of every float32 above it."""


class VendorTally:
    """Running sums over a tool's answers; their scores are kept on the disk until it is known what they are.

    Args:
        labels: the model's classes.
        activation: the way from its logits to probabilities.
        meaning: of the scores; by default they are probabilities if those of every image are and add up to one.
        kept: takes the scores as they are.
    """

    def __init__(self, labels: Labels, activation: Activation, meaning: ScoreMeaning | None, kept: KeptLogits) -> None:
        self._names, self._activation, self._meaning, self._kept = labels.names, activation, meaning, kept
        self._paths: list[str] = []
        self._orders: list[tuple[str, int, VendorAnswer]] = []
        self._failures: list[Failure] = []
        self._are_shares = self._add_up = True
        self._background: bool | None = None
        self._digest = 0
        self.values = 0

    def add(self, outcome: Outcome, path: str, target: int) -> None:
        """Count the answer to an image.

        Raises:
            InputError: it has a background class and others have none.
            CheckFailed: its scores are not numbers.
        """
        if isinstance(outcome, Unreadable):
            self.fail(path, outcome.reason)
            return
        self.values = outcome.depth
        self._check_background(outcome, path)
        if outcome.scores is None:
            self._orders.append((path, target + outcome.background, outcome))
            self._sum_up(path, repr(outcome.classes).encode())
            return
        if not np.isfinite(outcome.scores).all():
            raise CheckFailed(
                f"the scores of {path} are not finite numbers; no accuracy is reported: run the tool again"
            )
        scores = outcome.scores.astype(np.float64)
        self._are_shares &= bool(scores.min() >= 0 and scores.max() <= 1 + MAX_SUM_ERROR)
        self._add_up &= bool(abs(scores.sum() - 1) <= MAX_SUM_ERROR)
        self._kept.add(len(self._paths), target + outcome.background, scores)
        self._paths.append(path)
        self._sum_up(path, scores.tobytes())

    def fail(self, path: str, reason: str) -> None:
        """Count an image without a usable answer."""
        self._failures.append(Failure(path, reason))

    def _check_background(self, outcome: VendorAnswer, path: str) -> None:
        if self._background not in (None, outcome.background):
            raise InputError(
                f"the result of {path} has {outcome.depth} values, and others have one more or less; expected all of "
                "them with a background class, or none"
            )
        self._background = outcome.background

    def _sum_up(self, path: str, content: bytes) -> None:
        self._digest += int.from_bytes(
            hashlib.sha256(path.encode("utf-8", "surrogateescape") + b"\0" + content).digest()
        )

    @property
    def digest(self) -> str:
        """The sum of the SHA-256 of every image's path and answer, which depends on no order."""
        return f"{self._digest % 2**FINGERPRINT_BITS:0{FINGERPRINT_BITS // 4}x}"

    @property
    def meaning(self) -> Literal["probabilities", "logits", "unknown"] | None:
        """The meaning of the scores; None where there are none."""
        if self._orders or not self._paths:
            return None
        if self._meaning:
            return self._meaning
        if self._are_shares and (self._add_up or self._activation == "sigmoid"):
            return "probabilities"
        return "unknown" if self._are_shares else "logits"

    def evaluation(self, results: str, vendor: str, total: int, *, top: int, find_label_issues: bool) -> Evaluation:
        """The document for what was counted: every figure that the answers tell.

        Raises:
            InputError: there is no room to keep the answers.
            MissingExtra: labels are to be checked, and cleanlab is not installed.
        """
        names = (BACKGROUND,) * bool(self._background) + self._names
        has_probabilities = self.meaning in get_args(ScoreMeaning)
        with KeptLogits("<f8") as logits:
            tally = Tally(names, activation=self._activation, kept=logits if has_probabilities else None)
            for failure in self._failures:
                tally.add(failure)
            for path, target, answer in self._orders:
                tally.add_order(path, target, answer.best, answer.rank(target - answer.background), answer.depth)
            self._add_scored(tally, has_probabilities=has_probabilities)
            result = tally.evaluation(results, results, vendor, total, top)
            if not find_label_issues:
                return result
            first = len(self._failures) + len(self._orders)
            return with_label_issues(result, logits, self._activation, lambda place: self._paths[place - first])

    def _add_scored(self, tally: Tally, *, has_probabilities: bool) -> None:
        found = self._kept.read()
        if found is None:
            if self._paths:
                raise InputError("there is no room on the disk to keep the answers while they are read; free some")
            return
        for place, path in enumerate(self._paths):
            scores, target = found.logits[place], int(found.targets[place])
            if has_probabilities:
                tally.add(Scored(Item(path, target, bytes), self._as_logits(scores)))
            else:
                answer = VendorAnswer(path, scores=scores)
                tally.add_order(path, target, answer.best, answer.rank(target), len(scores))

    def _as_logits(self, scores: NDArray[np.float64]) -> Logits:
        if self.meaning == "logits":
            return cast(Logits, scores)
        logs = _log(scores)
        return cast(Logits, logs - _log(1 - scores) if self._activation == "sigmoid" else logs)


def _log(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.log(shares, out=np.full(shares.shape, MIN_LOG), where=shares > 0)


def facts_of(tally: VendorTally, result: Evaluation, vendor: str, truth: str, extra: Sequence[str]) -> VendorFacts:
    """The facts on a tool's results next to their evaluation."""
    right = sum(row[place] for place, row in enumerate(result.confusion))
    return VendorFacts(
        vendor=vendor,
        truth=truth,
        values=tally.values,
        scores=tally.meaning,
        top1_of_all=(right / result.total, (right + result.failed) / result.total),
        extra=tuple(sorted(extra)),
    )
