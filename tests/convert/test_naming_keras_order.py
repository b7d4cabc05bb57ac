"""Layers of which a file tells only class and place."""

from collections import Counter

import numpy as np
import pytest

from parity.ours import draw
from tests.convert.checkpoints import Tensors, checkpoint, prefixed, small
from xception.arch.compute import tensors as tensors_of
from xception.arch.spec import Architecture
from xception.convert.naming.keras_order import short_key
from xception.convert.naming.rename import rename
from xception.convert.naming.schemes import NAMING_SCHEMES
from xception.convert.weight_groups import weight_groups

CLASSES = {
    "depthwise_kernel": "separable_conv2d",
    "pointwise_kernel": "separable_conv2d",
    "gamma": "batch_normalization",
    "beta": "batch_normalization",
    "moving_mean": "batch_normalization",
    "moving_variance": "batch_normalization",
}
PAIRS = [
    (source, variant)
    for source in ("keras", "keras_hub", "zeromodels")
    for variant in NAMING_SCHEMES[source].PUBLISHED_VARIANTS
]


def placed(values: Tensors, spec: Architecture, source: str) -> Tensors:
    """The tensors as a file before Keras 3.6 has them; a block's units come before its shortcut."""
    names = NAMING_SCHEMES[source].tensor_names(spec)
    numbers: Counter[str] = Counter()
    layers: dict[str, str] = {}
    found = {}
    for tensor in tensors_of(spec):
        layer, _, leaf = names[tensor].name.partition("/")
        value = values[names[tensor].name]
        kind = CLASSES.get(leaf) or (
            "dense" if value.ndim < 3 else "depthwise_conv2d" if "depthwise" in tensor else "conv2d"
        )
        if layer not in layers:
            layers[layer] = f"{kind}:{numbers[kind]}"
            numbers[kind] += 1
        found[f"{layers[layer]}/{leaf}"] = value
    return found


@pytest.mark.parametrize(("source", "variant"), PAIRS)
def test_layers_are_found_by_their_place_among_those_of_their_class(source: str, variant: str) -> None:
    spec = small(variant)
    values = draw(spec, source)
    scheme = NAMING_SCHEMES[source]
    found, expected = (rename(tensors, spec, scheme) for tensors in (placed(values, spec, source), values))
    assert all(np.array_equal(found[name], expected[name]) for name in expected)


def test_two_layers_of_one_shape_that_are_swapped_show() -> None:
    spec = small("keras_xception")
    values = placed(draw(spec, "keras_hub"), spec, "keras_hub")
    one, other = (f"batch_normalization:{number}/gamma" for number in (36, 37))
    assert values[one].shape == values[other].shape
    values[one], values[other] = values[other], values[one]
    found = rename(values, spec, NAMING_SCHEMES["keras_hub"])
    expected = rename(draw(spec, "keras_hub"), spec, NAMING_SCHEMES["keras_hub"])
    swapped = [name for name in expected if not np.array_equal(found[name], expected[name])]
    assert swapped == ["blocks.11.units.1.after.norm.weight", "blocks.11.shortcut.norm.weight"]


def test_some_layers_may_have_names() -> None:
    spec = small("timm_xception41")
    values = draw(spec, "zeromodels")
    mixed = placed(values, spec, "zeromodels")
    for leaf in ("gamma", "beta", "moving_mean", "moving_variance"):
        mixed[f"stem_0_bn/{leaf}"] = mixed.pop(f"batch_normalization:0/{leaf}")
    found, expected = (rename(tensors, spec, NAMING_SCHEMES["zeromodels"]) for tensors in (mixed, values))
    assert all(np.array_equal(found[name], expected[name]) for name in expected)


def test_a_network_inside_another_one_is_found_by_the_places_of_its_layers() -> None:
    spec = small("keras_xception")
    values = placed(draw(spec, "keras_hub"), spec, "keras_hub")
    head = {name: values.pop(name) for name in ("dense:0/kernel", "dense:0/bias")}
    (group,) = weight_groups(checkpoint(prefixed(values, "xception_backbone/") | head))
    assert group.prefix == "xception_backbone/"
    assert group.tensors.keys() == values.keys() | head.keys()


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("conv2d_1/conv2d_1_1/kernel:0", "conv2d_1/kernel"),
        ("dense/dense/bias", "dense/bias"),
        ("conv2d:3/kernel", "conv2d:3/kernel"),
        ("a/b/kernel", "a/b/kernel"),
    ],
)
def test_a_path_is_shortened_to_layer_and_leaf(path: str, key: str) -> None:
    assert short_key(path) == key
