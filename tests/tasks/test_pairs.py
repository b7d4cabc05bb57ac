import numpy as np
import pytest

from xception.data.source import Item
from xception.errors import CheckFailed
from xception.pipeline.lane import Failure, Scored
from xception.tasks.evaluation import FailedImage
from xception.tasks.pairs import PairCounts


def scored(*logits: float) -> Scored:
    return Scored(Item("a", 0, bytes), np.array(logits, np.float32))


def test_every_pair_is_counted_once_by_who_is_right() -> None:
    counts = PairCounts()
    for first, second in ((0, 0), (0, 1), (1, 0), (1, 1), (1, 2), (0, 0)):
        rows = [scored(*(1.0 if index == guess else 0.0 for index in range(3))) for guess in (first, second)]
        assert not isinstance(counts.add(*rows, target=0), Failure)
    assert (counts.seen, counts.same) == (6, 3)
    assert counts.right == {(True, True): 2, (True, False): 1, (False, True): 1, (False, False): 2}


def test_without_a_true_class_nobody_is_right_or_wrong() -> None:
    counts = PairCounts()
    counts.add(scored(1, 0), scored(1, 0), None)
    assert (counts.seen, counts.same, sum(counts.right.values())) == (1, 1, 0)


def test_an_image_that_fails_for_either_has_failed_for_both() -> None:
    counts = PairCounts()
    assert counts.add(scored(1, 0), Failure("a", "gone"), 0) == Failure("a", "gone")
    assert counts.add(Failure("b", "broken"), scored(1, 0), 0) == Failure("b", "broken")
    assert counts.add(Failure("c", "first"), Failure("c", "second"), 0) == Failure("c", "first")
    assert counts.failures == [
        FailedImage(path="a", reason="gone"),
        FailedImage(path="b", reason="broken"),
        FailedImage(path="c", reason="first"),
    ]
    assert counts.seen == 0


def test_logits_that_are_no_numbers_are_not_counted() -> None:
    with pytest.raises(CheckFailed, match="not finite numbers"):
        PairCounts().add(scored(1, 0), scored(np.nan, 0), 0)
