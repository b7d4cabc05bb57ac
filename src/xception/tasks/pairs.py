"""Two outcomes per image: of two models, or of two preprocessings of one model."""

from itertools import product

from xception.backends.base import Logits
from xception.pipeline.lane import Failure, Scored
from xception.tasks.evaluation import FailedImage
from xception.tasks.tally import finite_logits


class PairCounts:
    """Running counts over pairs of outcomes; an image that fails for either has failed for both."""

    def __init__(self) -> None:
        self.seen = 0
        self.same = 0
        """Images for which both name the same class."""
        self.right = dict.fromkeys(product((True, False), repeat=2), 0)
        """Labelled images by whether the first and whether the second names the true class."""
        self.failures: list[FailedImage] = []

    def add(
        self, first: Scored | Failure, second: Scored | Failure, target: int | None
    ) -> tuple[Logits, Logits] | Failure:
        """Count one image.

        Args:
            first: the first outcome.
            second: the second outcome of the same image.
            target: the true class, as an index of both models, or None where it is not known.

        Returns:
            Both logits, or the failure.

        Raises:
            CheckFailed: logits that are not numbers.
        """
        if isinstance(first, Failure):
            return self._fail(first)
        if isinstance(second, Failure):
            return self._fail(second)
        logits = finite_logits(first), finite_logits(second)
        guesses = [int(row.argmax()) for row in logits]
        self.seen += 1
        self.same += guesses[0] == guesses[1]
        if target is not None:
            self.right[guesses[0] == target, guesses[1] == target] += 1
        return logits

    def _fail(self, failure: Failure) -> Failure:
        self.failures.append(FailedImage(path=failure.key, reason=failure.reason))
        return failure
