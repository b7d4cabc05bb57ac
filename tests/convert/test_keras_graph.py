"""The stated graph: networks and rows of layers are opened, and nothing that is unclear is guessed."""

from typing import Any

import pytest

from tests.convert.keras_models import image, kept, layer, model_of, stated_models
from xception.convert import keras_graph
from xception.convert.keras_graph import StatedGraph, stated_graph
from xception.errors import InputError


def graph_of(config: object) -> StatedGraph:
    found = stated_graph(config)
    assert found is not None
    return found


def edges(found: StatedGraph) -> dict[str, tuple[str, ...]]:
    return {id_: row.sources for id_, row in found.layers.items()}


def test_a_network_inside_and_a_row_are_opened() -> None:
    inner = model_of(image("start"), layer("Conv2D", "conv", "start"), layer("ReLU", "act", "conv"), name="body")
    row = {
        "class_name": "Sequential",
        "config": {"name": "row", "layers": [layer("Dropout", "a"), layer("Dense", "b")]},
    }
    call = layer("x", "body", "image")["inbound_nodes"]
    behind = {**row, "name": "row", "inbound_nodes": layer("x", "row", "body")["inbound_nodes"]}
    found = graph_of(model_of(image(), {**inner, "inbound_nodes": call}, behind))
    assert edges(found) == {
        "image": (),
        "body/conv": ("image",),
        "body/act": ("body/conv",),
        "row/a": ("body/act",),
        "row/b": ("row/a",),
    }
    assert found.outputs == ("row/b",)


def test_a_row_without_an_input_layer_starts_with_one() -> None:
    config = {"class_name": "Sequential", "config": [layer("Conv2D", "conv", batch_input_shape=[None, 75, 75, 3])]}
    found = graph_of(config)
    assert edges(found) == {"input": (), "conv": ("input",)}
    assert found.layers["input"].config == {"batch_input_shape": [None, 75, 75, 3]}


def test_layers_that_are_only_listed_read_the_one_before() -> None:
    rows = [image(), layer("Rescaling", "scale"), layer("Conv2D", "conv"), layer("Dense", "dense")]
    listed = [{key: value for key, value in row.items() if key != "inbound_nodes"} for row in rows]
    found = graph_of({"class_name": "Functional", "config": {"name": "model", "layers": listed}})
    assert edges(found) == {"image": (), "scale": ("image",), "conv": ("scale",), "dense": ("conv",)}
    assert found.outputs == ("dense",)
    assert not found.has_calls
    assert not found.needed_for("conv").has_calls


def test_calls_of_keras_2_are_read_as_those_of_keras_3() -> None:
    rows = [
        image(),
        {**layer("TFOpLambda", "divide", function="math.truediv"), "inbound_nodes": [["image", 0, 0, {"y": 127.5}]]},
        {**layer("Dropout", "drop"), "inbound_nodes": [[["divide", 0, 0, {"training": True}]]]},
        {**layer("Add", "add"), "inbound_nodes": [[["divide", 0, 0, {}], ["drop", 0, 0, {}]]]},
    ]
    found = graph_of(model_of(*rows))
    assert edges(found) == {"image": (), "divide": ("image",), "drop": ("divide",), "add": ("divide", "drop")}
    assert found.layers["divide"].keywords == {"y": 127.5}
    assert found.layers["drop"].keywords == {"training": True}


def test_the_part_that_an_output_needs_leaves_the_others_out() -> None:
    rows = [image(), layer("Dense", "a", "image"), layer("Dense", "b", "image")]
    found = graph_of(model_of(*rows, outputs=[["a", 0, 0], ["b", 0, 0]]))
    assert found.outputs == ("a", "b")
    assert list(found.needed_for("b").layers) == ["image", "b"]


@pytest.mark.parametrize("config", [None, {}, {"class_name": "XceptionBackbone", "config": {"layers": []}}, "text"])
def test_what_states_no_layers_states_nothing(config: object) -> None:
    assert stated_graph(config) is None


def twice(rows: Any) -> Any:
    rows[1]["inbound_nodes"] *= 2
    return rows


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (model_of(*twice([image(), layer("Dense", "a", "image")])), "'a' is called 2 times"),
        (model_of(image(), layer("Dense", "a", "b"), layer("Dense", "b", "a")), "read what is not there, such as a, b"),
        (model_of(image(), layer("Dense", "a", "image"), outputs=[["c", 0, 0]]), "names no layer of its own"),
        (model_of(image(), {**layer("Dense", "a", "image"), "config": 3}), "layers without a description"),
        (model_of(image(), {**layer("Dense", "a"), "inbound_nodes": [[3]]}), "in a way that no version"),
        ({"class_name": "Sequential", "config": {"layers": []}}, "an empty row"),
    ],
)
def test_what_is_unclear_is_refused(config: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        stated_graph(config)


def test_too_deep_and_too_many_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    config: dict[str, Any] = {"class_name": "Sequential", "config": {"layers": [layer("Dense", "a")]}, "name": "row"}
    for _ in range(40):
        config = {"class_name": "Sequential", "config": {"name": "row", "layers": [config]}, "name": "row"}
    with pytest.raises(InputError, match="nests networks deeper"):
        stated_graph(config)
    monkeypatch.setattr(keras_graph, "MAX_LAYERS", 2)
    with pytest.raises(InputError, match="more than 2 layers"):
        stated_graph(model_of(image(), layer("Dense", "a", "image"), layer("Dense", "b", "a")))


@pytest.mark.parametrize("name", stated_models())
def test_every_layer_of_a_real_model_is_found(name: str) -> None:
    found = graph_of(kept()[name]["config"])
    layers = {row.id for row in found.layers.values()}
    assert {key.rpartition("/")[0] for key in kept()[name]["shapes"]} <= layers
