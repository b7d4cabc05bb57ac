"""A model of one logit, and models of sigmoids: probabilities are sigmoids in every use."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from tests.support.samples import encoded, labelled, picture
from xception.backends.base import SessionFacts
from xception.bundle import Bundle, write_bundle
from xception.data.source import Item, Items
from xception.errors import InputError, UsageError
from xception.labels import Labels
from xception.metrics import Activation, loss, sigmoid
from xception.pipeline.engine import Engine
from xception.pipeline.prediction import Prediction
from xception.quantize.outputs import model_outputs
from xception.tasks.binary import two_classes
from xception.tasks.compare import compare
from xception.tasks.evaluate import evaluate


class Fixed:
    """A session that gives images these logits, one row after the other."""

    def __init__(self, rows: Sequence[Sequence[float]]) -> None:
        self.rows, self.given = np.array(rows, np.float32), 0
        self.facts = SessionFacts(name="fixed", input_shape=(3, None, None), num_outputs=self.rows.shape[1])

    def __call__(self, pixels: np.ndarray, /) -> np.ndarray:
        self.given += len(pixels)
        return np.take(self.rows, range(self.given - len(pixels), self.given), axis=0, mode="wrap")

    def close(self) -> None: ...


def engine(like: Bundle, rows: Sequence[Sequence[float]], names: Sequence[str], activation: Activation) -> Engine:
    network = msgspec.structs.replace(like.model.network, num_classes=len(names))
    model = msgspec.structs.replace(like.model, network=network, activation=activation)
    bundle = replace(like, model=model, labels=Labels(tuple(names)))
    return Engine.of(bundle, Fixed(rows), batch_size=len(rows), workers=1)


def images(targets: Sequence[int], classes: Sequence[str]) -> Items:
    file = encoded(picture())
    items = [Item(f"{index}.png", target, lambda: file) for index, target in enumerate(targets)]
    return Items("pictures", tuple(classes), tuple(items))


ROWS = ([2.0], [-1.0], [0.5], [-3.0])


def test_the_one_class_is_predicted_with_its_own_probability(weights_bundle: Bundle) -> None:
    model = engine(weights_bundle, ROWS, ("fake",), "sigmoid")
    predictions = [row for row in model.predict([picture()] * 4) if isinstance(row, Prediction)]
    assert [[guess.label for guess in row.top] for row in predictions] == [["fake"]] * 4
    found = [row.top[0].probability for row in predictions]
    assert found == pytest.approx(sigmoid(np.array(ROWS)).ravel())
    assert len(set(found)) == 4
    assert str(predictions[1].top[0]) == "fake 26.9%"


def test_one_logit_is_evaluated_as_two_classes_of_the_datas_names(weights_bundle: Bundle) -> None:
    source = images([1, 0, 0, 1], ("real", "fake"))
    result = evaluate(engine(weights_bundle, ROWS, ("fake",), "sigmoid"), source)
    assert result.labels == ("real", "fake")
    assert result.confusion == ((1, 1), (1, 1))
    own = sigmoid(np.array([2.0, 1.0, -0.5, -3.0])[None])[0]
    assert result.loss == pytest.approx(-np.log(own).mean())
    assert result.roc_auc == pytest.approx(0.5)


def test_the_order_of_the_datas_classes_changes_nothing(weights_bundle: Bundle) -> None:
    one = evaluate(engine(weights_bundle, ROWS, ("fake",), "sigmoid"), images([1, 0, 0, 1], ("real", "fake")))
    other = evaluate(engine(weights_bundle, ROWS, ("fake",), "sigmoid"), images([0, 1, 1, 0], ("fake", "real")))
    assert one == other


def test_classes_without_names_are_the_negative_and_the_positive_one(weights_bundle: Bundle) -> None:
    result = evaluate(engine(weights_bundle, ROWS, ("fake",), "sigmoid"), images([1, 0, 0, 1], ("#0", "#1")))
    assert (result.labels, result.confusion) == (("not fake", "fake"), ((1, 1), (1, 1)))


def test_a_class_map_names_the_positive_class(weights_bundle: Bundle) -> None:
    source = images([1, 0, 0, 1], ("cat", "dog"))
    result = evaluate(engine(weights_bundle, ROWS, ("positive",), "sigmoid"), source, class_map={"dog": "positive"})
    assert (result.labels, result.confusion) == (("cat", "positive"), ((1, 1), (1, 1)))


@pytest.mark.parametrize("classes", [("cat", "dog"), ("fake", "real", "drawn")])
def test_data_of_other_classes_are_refused(weights_bundle: Bundle, classes: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match=r"the model gives one probability, that of 'fake'.*--class-map"):
        evaluate(engine(weights_bundle, ROWS, ("fake",), "sigmoid"), images([0], classes))


def test_two_models_of_one_logit_are_compared(weights_bundle: Bundle) -> None:
    first = engine(weights_bundle, ROWS, ("fake",), "sigmoid")
    second = engine(weights_bundle, ([2.0], [-1.0], [-0.5], [-3.0]), ("fake",), "sigmoid")
    result = compare(first, second, images([1, 0, 0, 1], ("real", "fake")))
    assert (result.flips, result.second_only, result.first_only) == (1, 1, 0)
    (flip,) = result.worst_flips
    assert (flip.first, flip.second) == ("fake", "real")
    assert flip.first_probability == pytest.approx(sigmoid(np.array([[0.5]]))[0, 0])


def test_quantization_judges_one_logit_with_and_without_labels(weights_bundle: Bundle) -> None:
    known = model_outputs(engine(weights_bundle, ROWS, ("fake",), "sigmoid"), images([1, 0, 0, 1], ("real", "fake")))
    assert known.score().top1 is not None
    assert known.predicted.tolist() == [1, 0, 1, 0]
    unknown = model_outputs(engine(weights_bundle, ROWS, ("fake",), "sigmoid"), images([None] * 4, ()))
    assert (unknown.names, unknown.predicted.tolist()) == (("not fake", "fake"), [1, 0, 1, 0])


def test_sigmoids_of_several_classes_stand_by_themselves(weights_bundle: Bundle) -> None:
    rows = [[1.0, 2.0, -1.0], [3.0, 3.5, 0.0]]
    model = engine(weights_bundle, rows, ("a", "b", "c"), "sigmoid")
    result = evaluate(model, images([1, 0], ("a", "b", "c")))
    assert result.loss == pytest.approx(loss(np.array(rows), np.array([1, 0]), "sigmoid").mean())
    assert result.mistakes[0].probability == pytest.approx(sigmoid(np.array([[3.5]]))[0, 0])
    assert [row.images for row in result.calibration if row.images] == [1, 1]


def test_answers_that_are_no_probabilities_are_shown_as_they_are_and_not_judged(weights_bundle: Bundle) -> None:
    def model() -> Engine:
        return engine(weights_bundle, [[1.25, -7.0]], ("age", "height"), "none")

    (row,) = model().predict([picture()])
    assert isinstance(row, Prediction)
    assert [(guess.label, guess.probability, guess.logit) for guess in row.top] == [
        ("age", None, 1.25),
        ("height", None, -7.0),
    ]
    assert str(row.top[0]) == "age 1.25"
    source = images([0], ("age", "height"))
    for judge in (lambda: evaluate(model(), source), lambda: compare(model(), model(), source)):
        with pytest.raises(UsageError, match="are no probabilities"):
            judge()


def test_a_softmax_over_one_class_is_refused(weights_bundle: Bundle, tmp_path: Path) -> None:
    network = msgspec.structs.replace(weights_bundle.model.network, num_classes=1)
    model = msgspec.structs.replace(weights_bundle.model, network=network)
    with pytest.raises(UsageError, match="a softmax over a single class is 1 for every image"):
        write_bundle(tmp_path / "out", model, Labels(("fake",)), {"weights.safetensors": b""})


def test_a_model_of_several_classes_stays_as_it_is(weights_bundle: Bundle) -> None:
    with Engine.open(weights_bundle) as model:
        assert two_classes(model, labelled(1).classes) is model
