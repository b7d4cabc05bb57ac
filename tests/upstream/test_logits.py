import ast
import subprocess
import sys
from argparse import Namespace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from xception.convert.naming.schemes import NAMING_SCHEMES
from xception.upstream import logits
from xception.upstream.logits import NEEDS_CODE, RUNNERS, weights_of


def chosen(saved: object, **options: object) -> object:
    given = {"group": "", "prefix": "", "leave_out": [], "head": "", "classifier": ""} | options
    return weights_of(saved, Namespace(**given))


def test_weights_are_taken_from_their_group_and_their_wrapper() -> None:
    assert chosen({"a": 1}) == {"a": 1}
    assert chosen({"epoch": 3, "ema": {"module.a": 1, "steps": 2}}, group="ema", prefix="module.") == {"a": 1}


def test_weights_are_found_some_levels_deep() -> None:
    assert chosen({"model": {"state_dict": {"a": 1}}}, group="model/state_dict") == {"a": 1}
    assert chosen([{"a": 1}, {"lr": 2}], group="0") == {"a": 1}


def test_what_is_to_be_left_out_is() -> None:
    assert chosen({"a.b": 1, "c.d": 2}, leave_out=("a.*",)) == {"c.d": 2}


def test_a_classifier_of_another_name_gets_the_source_s_own() -> None:
    file = {"net.backbone.a": 1, "net.head.1.weight": 2, "net.head.10.weight": 3, "net.backbone.fc.weight": 4}
    options = {"prefix": "net.backbone.", "head": "net.head.1", "classifier": "fc", "leave_out": ["fc.*"]}
    assert chosen(file, **options) == {"a": 1, "fc.weight": 2}


def test_every_source_that_has_a_framework_is_run() -> None:
    assert RUNNERS.keys() | {"tfslim", "lucid"} == NAMING_SCHEMES.keys()
    assert set(NEEDS_CODE) <= NAMING_SCHEMES.keys() | {
        name for source in NAMING_SCHEMES.values() for name in source.PUBLISHED_VARIANTS
    }


def test_the_script_needs_numpy_and_the_framework_alone() -> None:
    tree = ast.parse(Path(logits.__file__).read_text())
    found = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    found |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in found} - sys.stdlib_module_names == {"numpy", "torch"}


@pytest.mark.parametrize("source", RUNNERS)
def test_a_framework_that_is_missing_is_named(source: str, tmp_path: Path) -> None:
    options = {"source": source, "variant": "mindcv_xception", "container": "x", "num-classes": 1, "in-channels": 3}
    files = {name: tmp_path / name for name in ("file", "pixels", "out")}
    command = [sys.executable, logits.__file__, *(f"--{name}={value}" for name, value in (options | files).items())]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    framework = {"gluon": "timm"}.get(source, source)
    assert f"No module named '{framework}'" in done.stderr


class Layer:
    """A layer of Keras as far as the script looks at it: a network if it has layers."""

    def __init__(self, name: str, *layers: "Layer", activation: str = "softmax") -> None:
        self.name, self.activation = name, activation
        if layers:
            self.layers, self.outputs = layers, [name]

    def get_layer(self, name: str) -> "Layer":
        return next(layer for layer in self.layers if layer.name == name)


class Softmax(Layer):
    def call(self, inputs: str) -> str:
        return f"softmax of {inputs}"


KERAS = SimpleNamespace(activations=SimpleNamespace(linear="linear"))


def test_the_activation_of_a_classifier_inside_of_networks_is_taken_away() -> None:
    dense, hidden = Layer("dense"), Layer("hidden", activation="relu")
    network = Layer("model", Layer("row", hidden, dense))
    assert logits._answering(KERAS, network, Namespace(activated_by=["row", "dense"], output=["row"])) is network
    assert (dense.activation, hidden.activation) == ("linear", "relu")


def test_a_softmax_that_is_a_layer_passes_on_what_it_gets() -> None:
    last = Softmax("soft")
    logits._answering(KERAS, Layer("model", last), Namespace(activated_by=["soft"], output=["soft"]))
    assert last.call("logits") == "logits"


def test_feature_maps_are_averaged_and_answers_stay() -> None:
    maps = np.arange(8.0).reshape(1, 2, 2, 2)
    np.testing.assert_array_equal(logits._pooled(maps), [[1.5, 5.5]])
    np.testing.assert_array_equal(logits._pooled(np.ones((1, 3))), np.ones((1, 3)))
