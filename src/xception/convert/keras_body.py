"""A stated network compared with the one that the tensors fit, operation by operation."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from xception.arch.graph import (
    INPUT,
    Add,
    BatchNorm,
    Concat,
    Conv,
    GlobalAveragePool,
    MaxPool,
    Node,
    Relu,
    Scale,
    unfold,
)
from xception.arch.spec import Architecture
from xception.convert.keras_graph import INPUT_LAYER, StatedGraph, StatedLayer
from xception.convert.keras_stated import AFFINE, AT_TRAINING_ONLY, DROPOUTS, KERAS_POOLINGS, PLACE, keras_activation
from xception.errors import InputError

GraphStep = tuple[Any, ...]
"""One operation: its kind and settings."""

Value = int
"""A result, numbered so that equal operations on equal values have one number."""

IMAGE_STEP: GraphStep = ("image",)


def check_network(graph: StatedGraph, spec: Architecture) -> None:
    """Refuse a model whose network computes something else than this one.

    Raises:
        InputError: an operation of other settings, or in another place.
    """
    ours, theirs = _Values(), _Values()
    feature_map = _own_map(ours, spec)
    if _stated_map(theirs, graph, ours.numbers) == feature_map:
        return
    only_theirs, only_ours = theirs.steps - ours.steps, ours.steps - theirs.steps
    if not only_theirs and not only_ours:
        raise InputError(f"{PLACE} states the operations of {spec.name} in another order, or connected otherwise")
    raise InputError(
        f"{PLACE} states another network than {spec.name}, whose tensors it has: it has {_words(only_theirs)}, and "
        f"{spec.name} has {_words(only_ours)}; no variant is like it"
    )


def _words(steps: Counter[GraphStep]) -> str:
    rows = [f"{count} x {' '.join(map(str, step))}" for step, count in steps.items()]
    return "; ".join(rows[:3]) or "nothing"


class _Values:
    """Numbers of results, and a count of the operations."""

    def __init__(self) -> None:
        self.numbers: dict[tuple[GraphStep, tuple[Value, ...]], Value] = {}
        self.steps: Counter[GraphStep] = Counter()

    def add(self, step: GraphStep, *sources: Value) -> Value:
        self.steps[step] += 1
        return self.numbers.setdefault((step, tuple(sorted(sources))), len(self.numbers))


def _own_map(values: _Values, spec: Architecture) -> Value:
    """The number of the map that is pooled."""
    found: dict[str, Value] = {INPUT: values.add(IMAGE_STEP)}
    for node in unfold(spec):
        if isinstance(node, Scale | GlobalAveragePool) or node.name.startswith("head.pool"):
            return found[node.source]
        sources = (node.source, node.other) if isinstance(node, Add | Concat) else (node.source,)
        found[node.name] = values.add(_own_step(node), *(found[source] for source in sources))
    raise InputError(f"{spec.name} has no pooling")


def _own_step(node: Node) -> GraphStep:
    match node:
        case Conv():
            kind = "depthwise" if node.groups > 1 else "conv"
            biased = ("bias",) if node.bias else ()
            channels = 0 if kind == "depthwise" else node.out_channels
            return (
                kind,
                channels,
                node.kernel,
                "stride",
                node.stride,
                "dilation",
                node.dilation,
                node.padding,
                *biased,
            )
        case BatchNorm():
            return ("norm", "epsilon", round(node.epsilon, 12))
        case MaxPool():
            return ("max-pool", 3, "stride", node.stride, node.padding)
        case Relu():
            return ("relu",)
        case _:
            return (type(node).__name__.lower(),)


def _stated_map(values: _Values, graph: StatedGraph, known: Mapping[Any, Value]) -> Value | None:
    """The number that the stated feature map has among known results; None if it is none of them."""
    values.numbers = dict(known)
    found: dict[str, Value] = {}
    pooled = None
    for id_, layer in graph.layers.items():
        if layer.kind in KERAS_POOLINGS:
            pooled = layer.sources[0]
            break
        sources = [found[source] for source in layer.sources]
        found[id_] = values.add(IMAGE_STEP) if layer.kind == INPUT_LAYER else _apply(values, layer, sources)
    last = pooled or (graph.outputs[0] if graph.outputs[0] in found else None)
    value = found[last] if last else None
    return value if value is not None and value < len(known) else None


def _apply(values: _Values, layer: StatedLayer, sources: list[Value]) -> Value:
    """The result of a layer. Layers in front of the network, or for training only, give what they are given."""
    kind, config = layer.kind, layer.config
    if (kind in AFFINE and len(sources) == 1) or kind in (*AT_TRAINING_ONLY, *DROPOUTS):
        return sources[0]
    if config.get("data_format") == "channels_first" or config.get("depth_multiplier", 1) != 1:
        raise InputError(f"{PLACE} states the layer {layer} with channels first or multiplied; expected neither")
    if kind == "SeparableConv2D":
        spatial = values.add(_convolution({**config, "use_bias": False}, "depthwise"), *sources)
        pointwise = {name: config[name] for name in ("filters", "use_bias") if name in config}
        value = values.add(_convolution({**pointwise, "kernel_size": 1}, "conv"), spatial)
    elif kind in ("Activation", "ReLU"):
        return values.add(("relu" if kind == "ReLU" else keras_activation(layer),), *sources)
    elif kind in STEPS:
        value = values.add(STEPS[kind](config), *sources)
    else:
        raise InputError(f"{PLACE} states the layer {layer} inside the network, where no variant has one")
    activation = keras_activation(layer)
    return value if activation == "linear" else values.add((activation,), value)


def _convolution(config: Mapping[str, Any], kind: str) -> GraphStep:
    size, stride, dilation = (_side(config.get(name, 1)) for name in ("kernel_size", "strides", "dilation_rate"))
    padding: int | str = 0
    if config.get("padding", "valid") == "same" and size > 1:
        padding = dilation * (size - 1) // 2 if stride == 1 else "same"
    channels = 0 if kind == "depthwise" else config.get("filters", 0)
    biased = ("bias",) if config.get("use_bias", True) else ()
    return (kind, channels, size, "stride", stride, "dilation", dilation, padding, *biased)


def _pool(config: Mapping[str, Any]) -> GraphStep:
    size = _side(config.get("pool_size", 2))
    return ("max-pool", size, "stride", _side(config.get("strides") or size), config.get("padding", "valid"))


def _side(stated: Any) -> int:
    """The one number of a square window."""
    sides = list(stated) if isinstance(stated, list | tuple) else [stated]
    if len(set(sides)) != 1 or not isinstance(sides[0], int):
        raise InputError(f"{PLACE} states the window {stated}; expected a square one")
    return sides[0]


STEPS: Mapping[str, Callable[[Mapping[str, Any]], GraphStep]] = {
    "Conv2D": lambda config: _convolution(config, "conv"),
    "BatchNormalization": lambda config: ("norm", "epsilon", round(float(config.get("epsilon", 1e-3)), 12)),
    "MaxPooling2D": _pool,
    "Add": lambda _: ("add",),
}
"""Operations by the layer's class."""
