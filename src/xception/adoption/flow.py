"""The layers of a network that have weights, identified by their shapes and by the layers before and after them."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

from xception.adoption.likeness import LayerShape, layer_shape
from xception.adoption.outline import GraphOperation, GraphOutline
from xception.arch.graph import INPUT, Add, Concat, Conv, Dense, unfold
from xception.arch.spec import Architecture

Layer = TypeVar("Layer")


class PlaceOfLayer(NamedTuple):
    """The place of a layer: its shape, and how many layers lie before and behind it, on whatever way."""

    shape: LayerShape
    before: int
    behind: int


class _Step(NamedTuple, Generic[Layer]):
    """One operation of a network: the values that it reads and makes, and its layer if it has weights."""

    inputs: Sequence[str]
    outputs: Sequence[str]
    layer: Layer | None
    shape: LayerShape | None


def graph_layers(outline: GraphOutline) -> Mapping[PlaceOfLayer, GraphOperation]:
    """The layers of a graph by their places; those of equal places are left out."""
    steps = []
    for row in outline.operations:
        shape = layer_shape(outline, row)
        steps.append(_Step(row.inputs, row.outputs, row if shape else None, shape))
    return _by_place(steps)


def variant_layers(spec: Architecture) -> Mapping[PlaceOfLayer, Conv | Dense]:
    """The layers of a variant by their places."""
    steps: list[_Step[Conv | Dense]] = []
    for node in unfold(spec):
        inputs = [node.source, *([node.other] if isinstance(node, Add | Concat) else [])]
        shape: LayerShape | None = None
        if isinstance(node, Conv):
            shape = (node.out_channels, node.in_channels // node.groups, node.kernel, node.kernel)
        elif isinstance(node, Dense):
            shape = (node.out_features, node.in_features)
        steps.append(_Step(inputs, [node.name], node if isinstance(node, Conv | Dense) else None, shape))
    return _by_place(steps)


def _by_place(steps: Iterable[_Step[Layer]]) -> dict[PlaceOfLayer, Layer]:
    """The layers by their places. A set of layers is a whole number with a bit for each."""
    behind_value: dict[str, int] = {INPUT: 0}
    found: list[tuple[Layer, LayerShape, int]] = []
    for step in steps:
        before = 0
        for name in step.inputs:
            before |= behind_value.get(name, 0)
        if step.layer is not None and step.shape is not None:
            found.append((step.layer, step.shape, before))
            own = before | 1 << (len(found) - 1)
        else:
            own = before
        behind_value |= dict.fromkeys(step.outputs, own)
    places = [
        PlaceOfLayer(shape, before.bit_count(), sum(later >> index & 1 for _, _, later in found))
        for index, (_, shape, before) in enumerate(found)
    ]
    counts = Counter(places)
    return {place: row[0] for place, row in zip(places, found, strict=True) if counts[place] == 1}
