import numpy as np
import pytest

from tests.support.samples import drawn_tensors
from xception.arch.graph import BatchNorm, Conv, unfold
from xception.arch.variants import VARIANTS, architecture
from xception.export.fold import folded


@pytest.mark.parametrize("name", VARIANTS)
def test_only_norms_without_a_convolution_of_their_own_stay(name: str) -> None:
    spec = architecture(name, width=0.05)
    nodes = {node.name: node for node in folded(spec, drawn_tensors(spec))[0]}
    for norm in [node for node in nodes.values() if isinstance(node, BatchNorm)]:
        readers = [node for node in nodes.values() if norm.source in (node.source, getattr(node, "other", None))]
        assert not isinstance(nodes[norm.source], Conv) or len(readers) > 1
    # The pre-activation networks normalise sums, which no convolution can take over.
    assert any(isinstance(node, BatchNorm) for node in nodes.values()) == name.endswith("p")


@pytest.mark.parametrize("name", VARIANTS)
def test_the_folded_graph_names_exactly_its_tensors(name: str) -> None:
    spec = architecture(name, width=0.05)
    nodes, values = folded(spec, drawn_tensors(spec))
    weighted = {node.name for node in nodes if f"{node.name}.weight" in values}
    assert {key.rpartition(".")[0] for key in values} == weighted
    assert all(value.dtype == np.float32 for value in values.values())
    names = {node.name for node in nodes}
    assert all(node.source in names or node.source == "pixels" for node in nodes)


def test_fewer_operations_are_left() -> None:
    spec = architecture("timm_xception41", width=0.05)
    before, after = unfold(spec), folded(spec, drawn_tensors(spec))[0]
    assert len(after) == len(before) - sum(isinstance(node, BatchNorm) for node in before)


def test_folding_is_the_formula() -> None:
    spec = architecture("mini_xception", width=0.5)
    tensors = drawn_tensors(spec)
    _, values = folded(spec, tensors)
    norm = {
        leaf: tensors[f"stem.0.after.norm.{leaf}"].astype(np.float64)
        for leaf in ("weight", "bias", "running_mean", "running_var")
    }
    factor = norm["weight"] / np.sqrt(norm["running_var"] + 1e-3)
    kernel = tensors["stem.0.conv.weight"] * factor[:, None, None, None]
    np.testing.assert_allclose(values["stem.0.conv.weight"], kernel, rtol=1e-6)
    np.testing.assert_allclose(values["stem.0.conv.bias"], norm["bias"] - norm["running_mean"] * factor, rtol=1e-5)


def test_the_given_tensors_are_left_as_they_were() -> None:
    spec = architecture("mini_xception", width=0.5)
    tensors = drawn_tensors(spec)
    folded(spec, tensors)
    again = drawn_tensors(spec)
    assert all(np.array_equal(tensors[name], again[name]) for name in again)
