"""The variants that a graph may be: those whose layers have the shapes of its weights."""

from collections import Counter
from collections.abc import Callable, Mapping

from xception.adoption.arithmetic import UNCHANGING
from xception.adoption.outline import GraphOperation, GraphOutline
from xception.arch.graph import Conv, Dense, unfold
from xception.arch.variants import VARIANTS, architecture
from xception.errors import UsageError

LayerShape = tuple[int, ...]
"""(outputs, inputs of each group, kernel height and width) of a convolution; (outputs, inputs) of a dense layer."""


def like_variants(outline: GraphOutline, num_classes: int, in_channels: int) -> tuple[str, ...]:
    """The variants with exactly the graph's layers with weights, whatever lies between them.

    Norms do not count, since exporters fold them into the layers; nor does the order, which differs by exporter.
    """
    found = layer_shapes(outline)
    return tuple(name for name in VARIANTS if found and found == _shapes(name, num_classes, in_channels))


def layer_shapes(outline: GraphOutline) -> Counter[LayerShape]:
    """The shapes of all layers with weights."""
    rows = (layer_shape(outline, operation) for operation in outline.operations)
    return Counter(row for row in rows if row is not None)


def layer_shape(outline: GraphOutline, operation: GraphOperation) -> LayerShape | None:
    """The shape of a layer's weights; None for any other operation."""
    if operation.kind not in KERNELS:
        return None
    place, read = KERNELS[operation.kind]
    shape = _constant_shape(outline, operation.inputs[place]) if len(operation.inputs) > place else None
    return read(shape, operation) if shape else None


def _shapes(variant: str, num_classes: int, in_channels: int) -> Counter[LayerShape]:
    try:
        nodes = unfold(architecture(variant, num_classes=num_classes, in_channels=in_channels))
    except UsageError:  # a number of classes or channels that it cannot have
        return Counter()
    convs = (
        (node.out_channels, node.in_channels // node.groups, node.kernel, node.kernel)
        for node in nodes
        if isinstance(node, Conv)
    )
    dense = ((node.out_features, node.in_features) for node in nodes if isinstance(node, Dense))
    return Counter[LayerShape]([*convs, *dense])


def _constant_shape(outline: GraphOutline, value: str) -> tuple[int, ...] | None:
    while value not in outline.shapes:
        maker = outline.maker(value)
        if maker is None or maker.kind not in UNCHANGING | {"FakeQuantize"} or not maker.inputs:
            return None
        value = maker.inputs[0]
    return outline.shapes[value]


def _plain(shape: tuple[int, ...], _: GraphOperation) -> LayerShape | None:
    return shape if len(shape) == 4 else None


def _grouped(shape: tuple[int, ...], _: GraphOperation) -> LayerShape | None:
    """OpenVINO's (groups, outputs, inputs, height, width), or as above in front of a change of the shape."""
    return (shape[0] * shape[1], *shape[2:]) if len(shape) == 5 else shape


def _channels_last(shape: tuple[int, ...], _: GraphOperation) -> LayerShape | None:
    """LiteRT's (outputs, height, width, inputs)."""
    return (shape[0], shape[3], shape[1], shape[2]) if len(shape) == 4 else None


def _depthwise_last(shape: tuple[int, ...], _: GraphOperation) -> LayerShape | None:
    """LiteRT's (1, height, width, outputs)."""
    return (shape[3], 1, shape[1], shape[2]) if len(shape) == 4 else None


def _gemm(shape: tuple[int, ...], operation: GraphOperation) -> LayerShape | None:
    return shape if operation.settings.get("transB") else shape[::-1]


def _ov_matmul(shape: tuple[int, ...], operation: GraphOperation) -> LayerShape | None:
    return shape if operation.settings.get("transpose_b") else shape[::-1]


KERNELS: Mapping[str, tuple[int, Callable[[tuple[int, ...], GraphOperation], LayerShape | None]]] = {
    "Conv": (1, _plain),
    "Gemm": (1, _gemm),
    "QLinearConv": (3, _plain),
    "Convolution": (1, _plain),
    "GroupConvolution": (1, _grouped),
    "MatMul": (1, _ov_matmul),
    "CONV_2D": (1, _channels_last),
    "DEPTHWISE_CONV_2D": (1, _depthwise_last),
    "FULLY_CONNECTED": (1, lambda shape, _: shape),
}
"""Operations with weights, by the names of all formats: the place of the weights among the inputs, and the shape of a
layer in theirs. ONNX's MatMul has no settings, and its weights stand as (inputs, outputs)."""
