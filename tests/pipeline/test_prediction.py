import numpy as np
import pytest

from xception.bundle import Bundle
from xception.data.source import Item
from xception.errors import UsageError
from xception.pipeline.lane import Failure, Scored
from xception.pipeline.prediction import NO_NUMBERS, answered, check_threshold, prediction


def scored(bundle: Bundle, *best: int) -> Scored:
    """An image whose classes `best` are the likeliest, in that order."""
    logits = np.zeros(len(bundle.labels.names), np.float32)
    for place, index in enumerate(best):
        logits[index] = 9 - place
    return Scored(Item("a.png", None, bytes), logits)


def test_the_likeliest_classes_come_first(onnx_bundle: Bundle) -> None:
    found = prediction(scored(onnx_bundle, 2, 0), onnx_bundle, 2)
    assert [guess.index for guess in found.top] == [2, 0]
    assert found.label == onnx_bundle.labels.names[2]


def test_all_classes_from_a_threshold_on_are_named(onnx_bundle: Bundle) -> None:
    found = prediction(scored(onnx_bundle, 1), onnx_bundle, 5, threshold=0.5)
    assert [guess.index for guess in found.top] == [1]
    assert prediction(scored(onnx_bundle), onnx_bundle, 5, threshold=0.9).top == ()


@pytest.mark.parametrize("threshold", [0.0, 1.0, -1.0, float("nan"), "0.5"])
def test_a_threshold_is_a_probability(onnx_bundle: Bundle, threshold: float) -> None:
    with pytest.raises(UsageError, match="expected a probability between 0 and 1"):
        check_threshold(threshold, onnx_bundle)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_answer_that_is_no_number_is_a_failure(onnx_bundle: Bundle, value: float) -> None:
    sound, broken = scored(onnx_bundle, 1), scored(onnx_bundle)
    broken.logits[2] = value
    assert answered(sound) is sound
    found = answered(broken)
    assert isinstance(found, Failure)
    assert found == answered(found) == Failure("a.png", NO_NUMBERS)
