"""A network as operations for all writers of graphs: norms folded, with shapes and additions for deployment."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from xception.arch.compute import Shape, output_shapes
from xception.arch.graph import INPUT, Conv, Dense, GlobalAveragePool, Node
from xception.arch.spec import Architecture, check_class_maps
from xception.bundle import Graph
from xception.errors import UsageError
from xception.export.fold import FoldedTensors, folded
from xception.forms import Layout
from xception.metrics import Activation
from xception.preprocess import Preprocess
from xception.weights import check_finite

Values = Mapping[str, NDArray[Any]]
"""Arrays inside a graph or at its ends, by name."""

IMAGE = "image"
"""Name of the value that 8-bit images enter by; normalisation makes `pixels` of it."""

PROBABILITIES, TOP_K, CLASS_MAPS = "head.probabilities", "head.top_k", "head.class_maps"
TOP_VALUES, TOP_INDICES = "top_values", "top_indices"


MAX_FIXED_BATCH = 1024
"""Images in every call of a graph with a fixed batch: the comparison with the weights needs memory for all at once."""


@dataclass(frozen=True, slots=True)
class Normalize:
    """8-bit images (N, H, W, C) to pixels (N, C, H, W): `value * NAME.factor + NAME.shift` per channel."""

    name: str
    source: str


@dataclass(frozen=True, slots=True)
class Softmax:
    """(N, K) logits to probabilities."""

    name: str
    source: str


@dataclass(frozen=True, slots=True)
class Sigmoid:
    """(N, K) logits to the probability of each class by itself."""

    name: str
    source: str


@dataclass(frozen=True, slots=True)
class TopK:
    """The largest of (N, K), in descending order: `NAME.values` and `NAME.indices`, both (N, count)."""

    name: str
    source: str
    count: int


Operation = Node | Normalize | Softmax | Sigmoid | TopK


@dataclass(frozen=True, kw_only=True)
class GraphOptions:
    """Options of an exported graph. By default it maps float32 pixels (N, C, H, W) of the bundle's image size to
    logits or embeddings, for any batch size."""

    opset: int = 17
    """Version of the ONNX operators, from 11; converters of recent years agree on 17."""
    fixed_batch: int | None = None
    """Number of images in every call (default: any)."""
    free_size: bool = False
    """Take images of any height and width, not only of the bundle's."""
    precision: Literal["float32", "float16"] = "float32"
    """Number type of the computation: float16 halves the file; inputs and outputs stay float32."""
    input_name: str | None = None
    """Name of the input (default: `pixels`, or `image` with --image-input)."""
    output_name: str | None = None
    """Name of the output (default: `logits`, `embedding` or `probabilities`, whichever it gives)."""
    image_input: bool = False
    """Take 8-bit images (N, H, W, C), which the graph normalises itself."""
    probabilities: bool = False
    """Give probabilities, by the model's activation: a softmax, or a sigmoid of each class."""
    top_k: int | None = None
    """Add two outputs: this many largest values, and their class indices."""
    class_maps: bool = False
    """Add an output: the class-activation maps (N, K, H', W'), whose spatial mean is the logits."""


@dataclass(frozen=True, kw_only=True)
class GraphOutput:
    """An output's name, and the inner value that it shows."""

    name: str
    value: str
    dtype: Literal["float32", "int64"] = "float32"


@dataclass(frozen=True, kw_only=True)
class Program:
    """A network as it is written.

    Weights are float32 whatever the options' precision. `graph.input_shape` is (N, C, H, W) in any layout.
    """

    architecture: Architecture
    nodes: tuple[Operation, ...]
    tensors: FoldedTensors
    graph: Graph
    outputs: tuple[GraphOutput, ...]
    options: GraphOptions

    @property
    def source(self) -> str:
        """The value inside that the input is."""
        return IMAGE if self.options.image_input else INPUT

    @property
    def size_px(self) -> tuple[int, int]:
        """(height, width): the fixed one, or where it is free the published one as an example."""
        height, width = self.graph.input_shape[2:]
        return height or self.architecture.input_px, width or self.architecture.input_px

    def shapes(self) -> dict[str, Shape]:
        """Shape of every value for one image of `size_px`, as `output_shapes`."""
        found = output_shapes(self.architecture, *self.size_px)
        classes = (self.architecture.num_classes,)
        for node in self.nodes:
            if node.name == CLASS_MAPS:
                found[node.name] = classes + found[node.source][1:]
            elif isinstance(node, Softmax | Sigmoid):
                found[node.name] = classes
            elif isinstance(node, TopK):
                found |= dict.fromkeys((f"{node.name}.values", f"{node.name}.indices"), (node.count,))
            elif isinstance(node, Normalize):
                found[IMAGE] = (*found[INPUT][1:], found[INPUT][0])
        return found


def program(
    architecture: Architecture,
    tensors: Mapping[str, np.ndarray],
    preprocess: Preprocess,
    options: GraphOptions | None = None,
    layout: Layout = "nchw",
    activation: Activation = "softmax",
) -> Program:
    """The network with what the options add to it.

    Args:
        architecture: the network.
        tensors: its tensors by canonical name.
        preprocess: the way to its input, for a graph that takes 8-bit images.
        options: departures from the plain graph.
        layout: order of the axes of float images; 8-bit ones are (N, H, W, C).
        activation: the way from logits to probabilities, for a graph that gives them.

    Raises:
        UsageError: the options contradict each other or the network, or the preprocessing fixes no input size.
        InputError: a tensor holds values that are no finite numbers.
    """
    options = options or GraphOptions()
    check_finite(tensors)
    nodes, values = folded(architecture, tensors)
    if options.probabilities and activation == "none" and architecture.num_classes:
        raise UsageError("the model's answers are no probabilities, as its activation 'none' says; export the logits")
    graph = _graph(architecture, preprocess, options, layout)
    head = tuple(_head(nodes, options, activation))
    operations: tuple[Operation, ...] = (*nodes, *head)
    if options.image_input:
        operations = (Normalize(INPUT, IMAGE), *operations)
        values |= _normalization(preprocess)
    if any(node.name == CLASS_MAPS for node in head):
        values |= _classifier_at_every_position(values, nodes[-1].name)
    made = Program(
        architecture=architecture,
        nodes=operations,
        tensors=values,
        graph=graph,
        outputs=tuple(_outputs(nodes, graph)),
        options=options,
    )
    _check_names(made)
    return made


def _graph(architecture: Architecture, preprocess: Preprocess, options: GraphOptions, layout: Layout) -> Graph:
    classes = architecture.num_classes
    plain: Literal["logits", "embedding"] = "logits" if classes else "embedding"
    if options.fixed_batch is not None and not 1 <= options.fixed_batch <= MAX_FIXED_BATCH:
        raise UsageError(f"the fixed batch is {options.fixed_batch} images; expected 1 to {MAX_FIXED_BATCH}")
    if not classes and (options.probabilities or options.top_k is not None):
        raise UsageError("the model has no classes, whose probabilities or order could be given; export the embedding")
    if options.top_k is not None and not 1 <= options.top_k <= classes:
        raise UsageError(f"the {options.top_k} best of {classes} classes do not exist; expected 1 to {classes}")
    if options.class_maps:
        check_class_maps(architecture.head)
    if options.image_input and preprocess.channels != architecture.in_channels:
        raise UsageError(
            f"images of {preprocess.channels} channels do not fit a network of {architecture.in_channels}; "
            "export without image input"
        )
    if options.image_input and preprocess.fractions:
        raise UsageError("8-bit images have no fractions, which this preprocessing keeps; export without image input")
    size = (None, None) if options.free_size else preprocess.output_px
    if size is None:
        raise UsageError("the preprocessing fixes no input size; expected a crop or a squash; or export a free size")
    return Graph(
        input_name=options.input_name or (IMAGE if options.image_input else INPUT),
        input_shape=(options.fixed_batch, architecture.in_channels, *size),
        output_name=options.output_name or ("probabilities" if options.probabilities else plain),
        input_layout="nhwc" if options.image_input else layout,
        input_values="image" if options.image_input else "pixels",
        output_values="probabilities" if options.probabilities else plain,
        top_k=options.top_k,
        class_maps=options.class_maps,
    )


def _head(nodes: tuple[Node, ...], options: GraphOptions, activation: Activation) -> Iterator[Operation]:
    """Operations behind the logits, and for additional outputs."""
    result = nodes[-1].name
    if options.probabilities:
        yield Sigmoid(PROBABILITIES, result) if activation == "sigmoid" else Softmax(PROBABILITIES, result)
        result = PROBABILITIES
    if options.top_k:
        yield TopK(TOP_K, result, options.top_k)
    last = nodes[-1]
    if options.class_maps and isinstance(last, Dense):
        yield Conv(CLASS_MAPS, _features(nodes), last.in_features, last.out_features, 1, bias=True)


def _features(nodes: tuple[Node, ...]) -> str:
    return next(node.source for node in nodes if isinstance(node, GlobalAveragePool))


def _classifier_at_every_position(values: FoldedTensors, dense: str) -> FoldedTensors:
    return {
        f"{CLASS_MAPS}.weight": values[f"{dense}.weight"][:, :, None, None],
        f"{CLASS_MAPS}.bias": values[f"{dense}.bias"],
    }


def _normalization(preprocess: Preprocess) -> FoldedTensors:
    mean, std = (np.array(row, np.float64) for row in (preprocess.mean, preprocess.std))
    scaled = {"factor": 1 / (preprocess.divisor * std), "shift": -mean / std}
    return {f"{INPUT}.{leaf}": value.astype(np.float32) for leaf, value in scaled.items()}


def _outputs(nodes: tuple[Node, ...], graph: Graph) -> Iterator[GraphOutput]:
    last = nodes[-1]
    probabilities = graph.output_values == "probabilities"
    yield GraphOutput(name=graph.output_name, value=PROBABILITIES if probabilities else last.name)
    if graph.top_k:
        yield GraphOutput(name=TOP_VALUES, value=f"{TOP_K}.values")
        yield GraphOutput(name=TOP_INDICES, value=f"{TOP_K}.indices", dtype="int64")
    if graph.class_maps:
        yield GraphOutput(name="class_maps", value=CLASS_MAPS if isinstance(last, Dense) else _features(nodes))


def _check_names(made: Program) -> None:
    names = [made.graph.input_name, *(output.name for output in made.outputs)]
    inside = {*made.shapes(), *made.tensors} - {made.source}
    if len(set(names)) < len(names) or inside & set(names) or not all(map(str.strip, names)):
        raise UsageError(
            f"the names {', '.join(map(repr, names))} of inputs and outputs are not distinct, or name something inside "
            "the graph; choose others"
        )
