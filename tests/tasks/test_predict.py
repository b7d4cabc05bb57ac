import numpy as np
import pytest

from tests.samples import CLASSES, encoded, labelled, picture
from xception.backends.base import open_session
from xception.bundle import Bundle
from xception.data.source import Item, Items
from xception.forms import Form
from xception.pipeline.stream import Failure
from xception.tasks.predict import Prediction, predict


@pytest.mark.parametrize("form", ["weights", "onnx", "openvino"])
def test_guesses_are_the_likeliest_classes_with_their_probabilities(form: Form, forms: dict[Form, Bundle]) -> None:
    bundle = forms[form]
    session = open_session(bundle)
    source = labelled(5)
    predictions = list(predict(bundle, session, source, top=3))
    logits = session(np.stack([bundle.model.preprocess(picture(seed=index)) for index in range(5)])).astype(np.float64)
    for prediction, row, item in zip(predictions, logits, source, strict=True):
        assert isinstance(prediction, Prediction)
        assert prediction.path == item.key
        best = np.argsort(-row)[:3]
        assert [guess.index for guess in prediction.top] == best.tolist()
        assert [guess.label for guess in prediction.top] == [CLASSES[index] for index in best]
        expected = np.exp(row[best]) / np.exp(row).sum()
        assert [guess.probability for guess in prediction.top] == pytest.approx(expected, rel=1e-4)


def test_more_guesses_than_classes_are_all_classes(onnx_bundle: Bundle) -> None:
    (prediction,) = predict(onnx_bundle, open_session(onnx_bundle), labelled(1), top=50)
    assert isinstance(prediction, Prediction)
    assert sum(guess.probability for guess in prediction.top) == pytest.approx(1)
    assert sorted(guess.label for guess in prediction.top) == sorted(CLASSES)


def test_failures_stand_in_their_place(onnx_bundle: Bundle) -> None:
    outcomes = list(predict(onnx_bundle, open_session(onnx_bundle), labelled(6, broken=(0, 3))))
    assert [isinstance(outcome, Failure) for outcome in outcomes] == [True, False, False, True, False, False]


def test_images_need_no_labels(onnx_bundle: Bundle) -> None:
    source = Items("files", (), (Item("a.png", None, lambda: encoded(picture())),))
    (prediction,) = predict(onnx_bundle, open_session(onnx_bundle), source)
    assert isinstance(prediction, Prediction)
    assert len(prediction.top) == 5


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_guesses_do_not_depend_on_the_batches(onnx_bundle: Bundle, batch_size: int) -> None:
    session = open_session(onnx_bundle)
    guesses = [
        [[guess.index for guess in outcome.top] for outcome in outcomes if isinstance(outcome, Prediction)]
        for outcomes in (
            predict(onnx_bundle, session, labelled(15), batch_size=batch_size),
            predict(onnx_bundle, session, labelled(15), batch_size=4, workers=3),
        )
    ]
    assert guesses[0] == guesses[1]
