from pathlib import Path

import pytest

from tests.adoption.graphs import write_onnx
from xception.adoption.adopt import read_graph
from xception.adoption.flow import PlaceOfLayer, graph_layers, variant_layers
from xception.arch.graph import Conv, Dense, unfold
from xception.arch.variants import VARIANTS, architecture


@pytest.mark.parametrize("name", VARIANTS)
def test_every_layer_of_every_variant_has_a_place_of_its_own(name: str) -> None:
    spec = architecture(name)
    layers = [node for node in unfold(spec) if isinstance(node, Conv | Dense)]
    assert len(variant_layers(spec)) == len(layers)


def test_a_place_counts_the_layers_before_and_behind(tmp_path: Path) -> None:
    outline = read_graph(write_onnx(tmp_path / "model.onnx"))
    assert set(graph_layers(outline)) == {PlaceOfLayer((4, 3, 1, 1), 0, 1), PlaceOfLayer((5, 4), 1, 0)}
