"""Layer names that Keras made up: found again whatever the numbers, and in Keras 1 in two ways that must agree."""

from collections.abc import Mapping

import numpy as np
import pytest

from parity.ours import draw
from xception.arch.spec import Architecture
from xception.arch.variants import architecture
from xception.convert.naming.rename import rename
from xception.convert.naming.schemes import NAMING_SCHEMES
from xception.errors import InputError

KERAS = NAMING_SCHEMES["keras"]
Tensors = dict[str, np.ndarray]


def small(variant: str) -> Architecture:
    return architecture(variant, width=0.05, num_classes=11)


def relayered(values: Mapping[str, np.ndarray], new_names: Mapping[str, str]) -> Tensors:
    """The tensors with their layers renamed."""
    return {
        f"{new_names.get(layer, layer)}/{leaf}": value
        for (layer, leaf), value in ((key.split("/"), value) for key, value in values.items())
    }


def equal(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def shifted(layer: str, offset: int) -> str:
    """The name that Keras gives if `offset` layers of the class exist already."""
    kind, _, number = layer.rpartition("_")
    if not number.isdigit():
        kind, number = layer, "0"
    return f"{kind}_{int(number) + offset}"


@pytest.mark.parametrize("variant", ["keras_xception", "mini_xception", "tiny_xception", "big_xception"])
@pytest.mark.parametrize("offset", [1, 4, 9])
def test_only_the_order_of_automatic_numbers_matters(variant: str, offset: int) -> None:
    spec = small(variant)
    values = draw(spec)
    automatic = {
        layer: shifted(layer, offset)
        for layer in (key.split("/")[0] for key in values)
        if layer.startswith(("conv2d", "separable_conv2d", "batch_normalization"))
    }
    assert equal(rename(relayered(values, automatic), spec, KERAS), rename(values, spec, KERAS))


def test_numbers_are_sorted_as_numbers_not_as_words() -> None:
    spec = small("mini_xception")
    values = draw(spec)
    alphabetical = {key: values[key] for key in sorted(values)}
    assert equal(rename(alphabetical, spec, KERAS), rename(values, spec, KERAS))


def test_paths_that_repeat_the_layer_are_shortened() -> None:
    spec = small("keras_xception")
    values = draw(spec)
    doubled = {f"{layer}/{layer}_1/{leaf}:0": value for (layer, leaf), value in split(values)}
    assert equal(rename(doubled, spec, KERAS), rename(values, spec, KERAS))


def split(values: Tensors) -> list[tuple[list[str], np.ndarray]]:
    return [(key.split("/"), value) for key, value in values.items()]


LEAVES1 = {"kernel": "W", "bias": "b", "moving_mean": "running_mean", "moving_variance": "running_std"}


def keras1_file(spec: Architecture) -> tuple[Tensors, Tensors]:
    """The tensors of a file as Keras 1 stores it, in stored order, and the same under today's names.

    Layers are numbered as Keras 1 made them: in each class from 1, a block's shortcut before its other layers.
    """
    values = draw(spec)
    stored = list(dict.fromkeys(key.split("/")[0] for key in values))
    made = sorted(stored, key=lambda layer: (block_of(layer, stored), not layer.startswith(("conv2d", "batch_norm"))))
    counts: dict[str, int] = {}
    new_names = {}
    for layer in made:
        kind = keras1_class(layer)
        counts[kind] = counts.get(kind, 0) + 1
        new_names[layer] = f"{kind}_{counts[kind]}"
    new_names["predictions"] = "dense_2"
    file = {}
    for (layer, leaf), value in split(values):
        name = new_names[layer]
        file[f"{name}/{name}_{LEAVES1.get(leaf, leaf)}"] = value
    return file, values


def block_of(layer: str, stored: list[str]) -> int:
    if layer == "predictions":
        return 99
    if layer.startswith("block"):
        return int(layer.removeprefix("block").split("_")[0])
    # A shortcut is stored behind its block's last norm.
    earlier = [name for name in stored[: stored.index(layer)] if name.startswith("block")]
    return int(earlier[-1].removeprefix("block").split("_")[0])


def keras1_class(layer: str) -> str:
    if layer == "predictions":
        return "dense"
    if "sepconv" in layer and not layer.endswith("_bn"):
        return "separableconvolution2d"
    return "batchnormalization" if layer.endswith("_bn") or layer.startswith("batch") else "convolution2d"


def test_the_sample_is_numbered_as_the_file_that_keras_ships() -> None:
    layers = [key.split("/")[0] for key in keras1_file(small("keras_xception"))[0]]
    assert layers[0] == "convolution2d_1"
    assert [layer for layer in dict.fromkeys(layers) if layer.startswith("batchnormalization")][-4:] == [
        "batchnormalization_38",
        "batchnormalization_36",
        "batchnormalization_39",
        "batchnormalization_40",
    ]


def test_layers_of_keras_1_are_found_by_their_order() -> None:
    spec = small("keras_xception")
    file, values = keras1_file(spec)
    assert equal(rename(file, spec, KERAS), rename(values, spec, KERAS))


@pytest.mark.parametrize(
    ("one", "other"),
    [("batchnormalization_36", "batchnormalization_38"), ("batchnormalization_1", "batchnormalization_2")],
)
def test_a_keras_1_file_whose_order_contradicts_its_numbers_is_refused(one: str, other: str) -> None:
    spec = small("keras_xception")
    file, _ = keras1_file(spec)
    swapped = {
        key.replace(f"{one}/", "@").replace(f"{other}/", f"{one}/").replace("@", f"{other}/"): value
        for key, value in file.items()
    }
    with pytest.raises(InputError, match="Keras 1 file are not in the order"):
        rename(swapped, spec, KERAS)


def test_a_keras_1_file_without_its_classifier_is_named_incomplete() -> None:
    spec = small("keras_xception")
    file = {key: value for key, value in keras1_file(spec)[0].items() if not key.startswith("dense")}
    with pytest.raises(InputError, match="missing predictions/bias, predictions/kernel"):
        rename(file, spec, KERAS)


@pytest.mark.parametrize(
    "key",
    [
        "blocks.0.conv",
        "a/b/c/d",
        "xception_65/logits/weights",
        "/",
        "x/",
        "/x",
        "",
        "conv2d_" + "9" * 5000,
    ],
)
def test_foreign_keys_pass_unchanged(key: str) -> None:
    assert KERAS.prepare_tensors({key: np.zeros(1)}, small("keras_xception")).keys() == {key}
