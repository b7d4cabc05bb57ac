from dataclasses import dataclass, replace

import numpy as np
import pytest

from tests.samples import OneAtATime, labelled
from xception.backends.base import open_session
from xception.bundle import Bundle
from xception.data.source import Items
from xception.errors import CheckFailed, InputError
from xception.quantize.answers import answers
from xception.tasks.evaluate import evaluate


def test_the_score_is_that_of_an_evaluation(onnx_bundle: Bundle) -> None:
    source, session = labelled(20, broken=(3,)), open_session(onnx_bundle)
    result = answers(onnx_bundle, session, source)
    expected = evaluate(onnx_bundle, session, source).score()
    assert result.score().loss == pytest.approx(expected.loss)
    assert replace_loss(result.score()) == replace_loss(expected)
    assert (result.score().total, result.failed, len(result.logits)) == (20, 1, 19)


def replace_loss(score: object) -> dict[str, object]:
    return {name: getattr(score, name) for name in ("total", "seen", "failed", "top1", "top5")}


def test_without_labels_there_are_answers_and_no_score(onnx_bundle: Bundle) -> None:
    bare = Items("bare", (), tuple(replace(item, target=None) for item in labelled(5)))
    result = answers(onnx_bundle, open_session(onnx_bundle), bare)
    assert result.targets is None
    assert result.score().top1 is None
    assert result.predicted.shape == (5,)
    assert not result.right.any()


def test_nothing_readable_is_no_answer(onnx_bundle: Bundle) -> None:
    with pytest.raises(InputError, match="none of the 2 images"):
        answers(onnx_bundle, open_session(onnx_bundle), labelled(2, broken=(0, 1)))


@dataclass
class Broken(OneAtATime):
    name: str = "broken"
    input_shape: tuple[int, int, int] = (3, 32, 32)
    num_classes: int = 7
    batch_size: None = None

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        return np.full((len(pixels), 7), np.nan, np.float32)

    def close(self) -> None: ...


def test_logits_that_are_no_numbers_are_no_answer(onnx_bundle: Bundle) -> None:
    with pytest.raises(CheckFailed, match="not finite numbers"):
        answers(onnx_bundle, Broken(), labelled(3))
