from dataclasses import dataclass, replace

import numpy as np
import pytest

from tests.support.samples import OneAtATime, labelled
from xception.backends.base import open_session
from xception.bundle import Bundle
from xception.data.source import Items
from xception.errors import CheckFailed, InputError
from xception.pipeline.engine import Engine
from xception.quantize.outputs import Outputs, class_flips, model_outputs
from xception.tasks.evaluate import evaluate


def test_the_score_is_that_of_an_evaluation(onnx_bundle: Bundle) -> None:
    source, session = labelled(20, broken=(3,)), open_session(onnx_bundle)
    result = model_outputs(Engine.of(onnx_bundle, session), source)
    expected = evaluate(Engine.of(onnx_bundle, session), source).score()
    assert result.score().loss == pytest.approx(expected.loss)
    assert replace_loss(result.score()) == replace_loss(expected)
    assert (result.score().total, result.failed, len(result.logits)) == (20, 1, 19)


def replace_loss(score: object) -> dict[str, object]:
    return {name: getattr(score, name) for name in ("total", "seen", "failed", "top1", "top5")}


def test_without_labels_there_are_answers_and_no_score(onnx_bundle: Bundle) -> None:
    bare = Items("bare", (), tuple(replace(item, target=None) for item in labelled(5)))
    result = model_outputs(Engine.open(onnx_bundle), bare)
    assert result.targets is None
    assert result.score().top1 is None
    assert result.predicted.shape == (5,)
    assert not result.is_right.any()


def both(targets: np.ndarray | None) -> tuple[Outputs, Outputs]:
    """Three images, of which the last two change."""
    first, second = np.array([[2, 0], [2, 0], [1, 0]]), np.array([[1, 0], [0, 2], [0, 0.5]])
    parent, candidate = (
        Outputs(
            data="some",
            names=("cat", "dog"),
            keys=("a", "b", "c"),
            logits=logits.astype(np.float32),
            targets=targets,
            failed=0,
        )
        for logits in (first, second)
    )
    return parent, candidate


def test_changed_answers_come_with_the_largest_change_of_the_true_class_first() -> None:
    flips = class_flips(*both(np.array([0, 1, 1])))
    assert [(flip.path, flip.label, flip.first, flip.second) for flip in flips] == [
        ("b", "dog", "cat", "dog"),
        ("c", "dog", "cat", "dog"),
    ]
    assert flips[0].swing == pytest.approx(2 * flips[0].second_probability - 1)


def test_without_labels_the_first_answer_is_watched() -> None:
    flips = class_flips(*both(None))
    assert [(flip.path, flip.label, flip.swing < 0) for flip in flips] == [("b", None, True), ("c", None, True)]


def test_nothing_readable_is_no_answer(onnx_bundle: Bundle) -> None:
    with pytest.raises(InputError, match="none of the 2 images"):
        model_outputs(Engine.open(onnx_bundle), labelled(2, broken=(0, 1)))


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
        model_outputs(Engine.of(onnx_bundle, Broken()), labelled(3))
