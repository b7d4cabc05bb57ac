"""The layers in front of a network and behind it: understood, or refused by name."""

from typing import Any

import pytest

from tests.convert.keras_models import image, kept, layer, model_of, stated_models
from xception.convert.keras_graph import stated_graph
from xception.convert.keras_stated import keras_facts
from xception.convert.stated import StatedFacts
from xception.errors import InputError


def facts(config: object, **options: Any) -> StatedFacts:
    found = stated_graph(config)
    assert found is not None
    return keras_facts(found, **options)


def around(*front: dict[str, Any], head: tuple[dict[str, Any], ...] = ()) -> dict[str, Any]:
    """A model with these layers before its only convolution, and these behind."""
    rows, last = [image()], "image"
    body = (layer("Conv2D", "conv", filters=3),)
    pool = (layer("GlobalAveragePooling2D", "pool"),) if head else ()
    for row in (*front, *body, *pool, *head):
        call = layer("x", "x", last)["inbound_nodes"]
        rows.append({**row, "inbound_nodes": row["inbound_nodes"] or call})
        last = row["name"]
    return model_of(*rows)


def test_real_models_state_their_heads() -> None:
    found = {
        name: facts(kept()[name]["config"], head="fake" if name.endswith("_outputs") else None)
        for name in stated_models()
    }
    rows = {name: (row.pooling, row.activation, row.drop_rate) for name, row in found.items()}
    assert rows == {
        "flat": ("avg", "softmax", 0.3),
        "flat_max": ("max", "softmax", None),
        "both_poolings": ("catavgmax", "softmax", None),
        "hidden": ("avg", "softmax", 0.5),
        "separate_activations": ("avg", "sigmoid", None),
        "without_bias": ("avg", "none", None),
        "one_logit": ("avg", "sigmoid", None),
        "nested": ("avg", "softmax", None),
        "nested_255": ("avg", "softmax", None),
        "statistics": ("avg", "softmax", None),
        "preprocessed": ("avg", "none", 0.2),
        "rows": ("max", "softmax", 0.5),
        "sigmoids": ("avg", "sigmoid", None),
        "two_outputs": ("avg", "sigmoid", None),
        "nested_outputs": ("max", "sigmoid", 0.2),
        "three_deep": ("avg", "softmax", 0.4),
        "embedding": ("avg", None, None),
        "embedding_max": ("max", None, 0.1),
        "maps": (None, None, None),
    }
    assert found["without_bias"].without_bias == ("classifier",)
    assert found["two_outputs"].unused == (("kind",),)
    assert set(found["hidden"].head_names) == {"classifier", "hidden"}


REFUSALS = {
    "REFUSED flattened": "Flatten 'flatten', which keeps the places of the feature map",
    "REFUSED two_hidden": "the third of its head",
    "REFUSED tanh": "hidden before the classifier with the activation tanh; expected relu",
    "REFUSED answers": "whose answers pass through relu; expected softmax, sigmoid or linear",
    "REFUSED unit": "UnitNormalization 'unit_normalization', between pooling and answer",
    "REFUSED norm": "LayerNormalization 'layer_normalization', between pooling and answer",
    "REFUSED resizing": "Resizing 'resizing', in front of the network",
    "REFUSED code": "Lambda 'lambda', in front of the network",
    "REFUSED scaled": "makes 509 of 8-bit values",
}


@pytest.mark.parametrize("name", stated_models(refused=True))
def test_what_has_no_place_here_is_refused_by_name(name: str) -> None:
    with pytest.raises(InputError, match=REFUSALS[name]):
        facts(kept()[name]["config"])


def test_a_head_that_is_not_kept_is_not_judged() -> None:
    assert facts(kept()["REFUSED tanh"]["config"], keeps_head=False).head_names == {}
    assert facts(kept()["flat_max"]["config"], keeps_head=False).pooling == "max"


def test_several_outputs_are_asked_for() -> None:
    outputs = r"--head kind \(3 classes\) or --head fake \(1 classes\)"
    with pytest.raises(InputError, match=f"states 2 outputs; pass the one that is wanted: {outputs}"):
        facts(kept()["two_outputs"]["config"])
    with pytest.raises(InputError, match=r"no output of the classifier age; it states kind \(3 classes\) or fake \(1"):
        facts(kept()["two_outputs"]["config"], head="age")


def test_outputs_behind_one_classifier_and_those_before_it_have_their_own_names() -> None:
    rows = [
        image(),
        layer("Conv2D", "conv", "image", filters=3),
        layer("GlobalMaxPooling2D", "pool", "conv"),
        layer("Dense", "logits", "pool", units=4),
        layer("Activation", "soft", "logits", activation="softmax"),
    ]
    config = model_of(*rows, outputs=[["pool", 0, 0], ["logits", 0, 0], ["soft", 0, 0]])
    with pytest.raises(
        InputError, match=r"pool \(features\) or --head logits \(4 classes\) or --head soft \(4 classes\)"
    ):
        facts(config)
    found = {name: facts(config, head=name) for name in ("pool", "logits", "soft")}
    assert {name: row.activation for name, row in found.items()} == {"pool": None, "logits": "none", "soft": "softmax"}
    assert found["pool"].head_names == {}
    assert found["pool"].pooling == "max"


@pytest.mark.parametrize(
    ("front", "factor", "shift"),
    [
        ((layer("Rescaling", "a", scale=[1 / 127.5], offset=-1),), 1 / 127.5, -1),
        ((layer("TrueDivide", "a", "image", 127.5), layer("Subtract", "b", "a", 1.0)), 1 / 127.5, -1),
        ((layer("Multiply", "a", "image", 0.01), layer("Add", "b", 2, "a")), 0.01, 2),
        ((layer("Subtract", "a", 255, "image"), layer("TrueDivide", "b", "a", 255)), -1 / 255, 1),
        ((layer("Normalization", "a", mean=[[[[100.0]]]], variance=[2500.0]),), 1 / 50, -2),
    ],
)
def test_arithmetic_in_front_of_the_network_is_added_up(
    front: tuple[dict[str, Any], ...], factor: float, shift: float
) -> None:
    found = facts(around(*front)).normalization
    assert found is not None
    assert (found.factor[0], found.shift[0]) == (pytest.approx(factor), pytest.approx(shift))


def test_operations_of_keras_2_are_read() -> None:
    rows = [
        {**layer("TFOpLambda", "a", function="math.truediv"), "inbound_nodes": [["image", 0, 0, {"y": 127.5}]]},
        {**layer("TFOpLambda", "b", function="math.subtract"), "inbound_nodes": [["a", 0, 0, {"y": 1.0}]]},
    ]
    found = facts(around(*rows)).normalization
    assert found is not None
    assert (found.factor, found.shift) == ((pytest.approx(1 / 127.5),), (pytest.approx(-1),))


@pytest.mark.parametrize(
    ("front", "message"),
    [
        (layer("TFOpLambda", "a", function="math.sqrt"), "whose numbers cannot be read"),
        (layer("TrueDivide", "a", 1, "image"), "the operation truedivide; expected one with a number"),
        (layer("Normalization", "a", mean=None), "whose statistics were adapted to data"),
        (layer("Rescaling", "a", scale="x"), "whose numbers cannot be read"),
        (layer("Rescaling", "a", scale=0), "makes 0 of 8-bit values"),
        (layer("RandomCrop", "a"), "in front of the network, for which there is no place"),
    ],
)
def test_unclear_arithmetic_is_refused(front: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        facts(around(front))


def test_a_layer_that_stays_random_is_refused() -> None:
    drop = {**layer("Dropout", "drop", rate=0.5), "inbound_nodes": [[["pool", 0, 0, {"training": True}]]]}
    with pytest.raises(InputError, match=r"Dropout 'drop', which is called with training=True"):
        facts(around(head=(drop, layer("Dense", "dense", units=3))))


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ((layer("Dense", "a", units=1, activation="softmax"),), "a softmax over a single class"),
        ((layer("Dense", "a", activation="relu"), layer("ReLU", "b")), "a second activation in a row"),
        ((layer("Dense", "a"), layer("ReLU", "b", max_value=6), layer("Dense", "c")), "no plain max"),
    ],
)
def test_odd_heads_are_refused(head: tuple[dict[str, Any], ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        facts(around(head=head))
