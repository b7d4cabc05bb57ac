"""Heads that pool otherwise or have a hidden layer: what the specification says, the modules compute."""

import numpy as np
import pytest
import torch

from tests.support.numpy_forward import forward
from tests.support.samples import drawn_tensors
from xception.arch.compute import tensors
from xception.arch.spec import Architecture
from xception.arch.variants import architecture
from xception.errors import UsageError
from xception.models.network import build

HEADS = [("avg", None), ("max", None), ("avgmax", None), ("catavgmax", None), ("avg", 6), ("max", 6), ("catavgmax", 6)]


def headed(pooling: str, hidden: int | None, name: str = "timm_xception") -> Architecture:
    changes = {"pooling": pooling, "hidden_features": hidden}
    return architecture(name, width=0.05, num_classes=5, **changes)


def pixels(px: int = 71) -> np.ndarray:
    return np.random.Generator(np.random.PCG64(0)).normal(size=(2, 3, px, px + 1)).astype(np.float32)


@pytest.mark.parametrize(("pooling", "hidden"), HEADS)
def test_the_modules_compute_the_graph_of_a_head(pooling: str, hidden: int | None) -> None:
    spec = headed(pooling, hidden)
    values = drawn_tensors(spec)
    expected = forward(spec, values, pixels())
    with torch.no_grad():
        found = build(spec, values).eval()(torch.from_numpy(pixels())).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def test_each_head_computes_something_else() -> None:
    rows = []
    for pooling in ("avg", "max", "avgmax"):
        spec = headed(pooling, None)
        rows.append(forward(spec, drawn_tensors(spec), pixels()))
    smallest = min(np.abs(one - other).max() for one, other in zip(rows, rows[1:] + rows[:1], strict=True))
    assert smallest > 0.01 * np.abs(rows[0]).max()


def test_the_tensors_of_a_head_follow_its_pooling_and_hidden_layer() -> None:
    shapes = tensors(headed("catavgmax", 6))
    assert (shapes["head.hidden.weight"], shapes["head.hidden.bias"]) == ((6, 204), (6,))
    assert shapes["head.classifier.weight"] == (5, 6)
    assert tensors(headed("catavgmax", None))["head.classifier.weight"] == (5, 204)


@pytest.mark.parametrize(("pooling", "hidden"), [("max", None), ("catavgmax", None), ("avg", 6)])
def test_a_head_whose_logits_are_no_mean_over_positions_has_no_class_maps(pooling: str, hidden: int | None) -> None:
    spec = headed(pooling, hidden)
    with pytest.raises(UsageError, match="has no class maps"):
        build(spec, drawn_tensors(spec)).class_maps(torch.from_numpy(pixels()))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pooling": "median"}, "the pooling is 'median'; expected avg, max, avgmax, catavgmax"),
        ({"hidden_features": 0}, "hidden_features is 0; expected at least 1"),
    ],
)
def test_a_head_that_does_not_exist_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        architecture("timm_xception", **changes)


def test_a_classifier_that_is_a_convolution_takes_no_other_head() -> None:
    with pytest.raises(UsageError, match="the classifier of mini_xception is a convolution"):
        architecture("mini_xception", pooling="max")
