"""The facts that a Keras model's configuration states: what stands before the network, and its head.

Source: Keras 3.15.1, `keras/src/layers`; Keras 2.15 for `TFOpLambda`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt
from typing import Any

from xception.arch.spec import Pooling
from xception.convert.keras_graph import INPUT_LAYER, StatedGraph, StatedLayer
from xception.convert.stated import Normalization, StatedFacts
from xception.errors import InputError
from xception.metrics import Activation

PLACE = "its model_config"

AT_TRAINING_ONLY = (
    "ActivityRegularization",
    "AlphaDropout",
    "GaussianDropout",
    "GaussianNoise",
    "RandomBrightness",
    "RandomColorDegeneration",
    "RandomColorJitter",
    "RandomContrast",
    "RandomErasing",
    "RandomFlip",
    "RandomGaussianBlur",
    "RandomGrayscale",
    "RandomHue",
    "RandomPosterization",
    "RandomRotation",
    "RandomSaturation",
    "RandomSharpness",
    "RandomShear",
    "RandomTranslation",
    "RandomZoom",
)
"""Layers that change nothing once the network is trained."""

DROPOUTS = ("Dropout", "SpatialDropout2D")

KERAS_POOLINGS: Mapping[str, Pooling] = {"GlobalAveragePooling2D": "avg", "GlobalMaxPooling2D": "max"}

NETWORK_LAYERS = ("Conv2D", "Convolution2D", "SeparableConv2D", "SeparableConvolution2D", "DepthwiseConv2D")
"""Layers with which the network itself begins."""

MAX_VALUE = 50.0
"""Largest input of a network that 8-bit values may become; Keras' own reaches 1, statistics of ImageNet 2.7."""


def keras_facts(graph: StatedGraph, *, head: str | None = None, keeps_head: bool = True) -> StatedFacts:
    """Read the layers in front of the network and behind it.

    Args:
        graph: the layers.
        head: the classifier, or the last layer, of the wanted output, where the model has several.
        keeps_head: read the layers behind the pooling; without, only those in front of the network and the pooling.

    Raises:
        InputError: one that this toolkit has no place for; the sentence names it.
    """
    whole, graph = graph, _wanted_part(graph, head, keeps_head=keeps_head)
    for layer in graph.layers.values():
        if layer.keywords.get("training") is True:
            raise _refused(layer, "which is called with training=True, and so stays random or unsettled for ever")
    pooling, chain = _head_chain(graph)
    kept = graph.layers.keys() - (() if keeps_head else {layer.id for layer in chain})
    behind = _Head(graph)
    for layer in chain if keeps_head else ():
        behind.take(layer)
    return StatedFacts(
        place=PLACE,
        pooling=pooling,
        activation=behind.answers(),
        drop_rate=behind.drop_rate,
        normalization=_normalization(graph),
        head_names=behind.names(),
        without_bias=behind.without_bias(),
        output=graph.outputs[0],
        activated_by=behind.activated_by,
        unused=tuple(layer.path for id_, layer in whole.layers.items() if id_ not in kept),
    )


def _wanted_part(graph: StatedGraph, head: str | None, *, keeps_head: bool) -> StatedGraph:
    """The part of the graph that leads to the wanted output."""
    parts = [graph.needed_for(output) for output in graph.outputs]
    if head is not None:
        ends = [_ends(part) for part in parts]
        # Its own name tells an output from another one behind the same classifier.
        for names in ([own for own, _ in ends], [classifier for _, classifier in ends]):
            found = [part for part, layer in zip(parts, names, strict=True) if layer and head in _names(layer)]
            if len(found) == 1:
                return found[0]
        raise InputError(f"{PLACE} states no output of the classifier {head}; it states {_outputs(parts)}")
    if len(parts) > 1 and keeps_head:
        raise InputError(
            f"{PLACE} states {len(parts)} outputs; pass the one that is wanted: {_outputs(parts, '--head ')}"
        )
    return parts[0]


def _ends(part: StatedGraph) -> tuple[StatedLayer, StatedLayer | None]:
    """The layer whose result is the output, and the last dense layer that it depends on."""
    dense = [layer for layer in part.layers.values() if layer.kind == "Dense"]
    return part.layers[part.outputs[0]], dense[-1] if dense else None


def _names(layer: StatedLayer) -> tuple[str, str]:
    """A layer's name, and that with the networks around it."""
    return layer.path[-1], layer.id


def _outputs(parts: Sequence[StatedGraph], option: str = "") -> str:
    """The outputs by their classifiers, or by their own names where there is none or it has several, with sizes."""
    ends = [_ends(part) for part in parts]
    classifiers = [dense for _, dense in ends]
    words = []
    for own, dense in ends:
        layer = dense if dense and classifiers.count(dense) == 1 else own
        size = f"{dense.config.get('units', dense.config.get('output_dim'))} classes" if dense else "features"
        words.append(f"{option}{layer.path[-1]} ({size})")
    return " or ".join(words)


def _refused(layer: StatedLayer, reason: str) -> InputError:
    return InputError(f"{PLACE} states the layer {layer}, {reason}")


def _head_chain(graph: StatedGraph) -> tuple[Pooling | None, list[StatedLayer]]:
    """The pooling of the network's feature maps, and the layers behind it in their order; none if it does not pool."""
    chain: list[StatedLayer] = []
    layer = graph.layers[graph.outputs[0]]
    while layer.kind not in KERAS_POOLINGS:
        both = [graph.layers[source] for source in layer.sources]
        kinds = [source.kind for source in both]
        if layer.kind == "Concatenate" and kinds == list(KERAS_POOLINGS) and both[0].sources == both[1].sources:
            return "catavgmax", chain[::-1]
        if layer.kind == "Flatten" and (not both or both[0].kind not in (*KERAS_POOLINGS, "Concatenate", "Dropout")):
            raise _refused(layer, "which keeps the places of the feature map; expected global pooling before the head")
        if len(both) != 1 or layer.kind in NETWORK_LAYERS or layer.kind == INPUT_LAYER:
            return None, []
        chain.append(layer)
        layer = both[0]
    return KERAS_POOLINGS[layer.kind], chain[::-1]


@dataclass
class _Dense:
    layer: StatedLayer
    activation: str


@dataclass
class _Head:
    """The layers behind the pooling, taken in one by one."""

    graph: StatedGraph
    dense: list[_Dense] = field(default_factory=list)
    final: str | None = None
    """Activation of a classifier that lies in front of the pooling."""
    activated_by: tuple[str, ...] = ()
    """Path of the last layer with an activation."""
    drop_rate: float | None = None

    def take(self, layer: StatedLayer) -> None:
        match layer.kind:
            case "Dense":
                if len(self.dense) == 2:
                    raise _refused(layer, "the third of its head; expected one hidden layer before the classifier")
                self.dense.append(_Dense(layer, keras_activation(layer)))
                self.activated_by = layer.path
            case "Activation" | "ReLU" | "Softmax":
                self._activate(layer)
            case kind if kind in DROPOUTS:
                rate = layer.config.get("rate", layer.config.get("p"))
                self.drop_rate = float(rate) if isinstance(rate, float | int) else None
            case "Flatten":
                pass
            case kind if kind in AT_TRAINING_ONLY:
                pass
            case _:
                raise _refused(
                    layer,
                    "between pooling and answer, for which there is no place; expected dropout, dense layers and "
                    "activations",
                )

    def _activate(self, layer: StatedLayer) -> None:
        kind = {"ReLU": "relu", "Softmax": "softmax"}.get(layer.kind) or keras_activation(layer)
        if layer.kind == "ReLU" and any(map(layer.config.get, ("max_value", "negative_slope", "threshold"))):
            raise _refused(layer, "which is no plain max(x, 0)")
        self.activated_by = layer.path
        if not self.dense and self.final is None:
            self.final = kind
        elif self.dense and self.dense[-1].activation == "linear":
            self.dense[-1].activation = kind
        else:
            raise _refused(layer, "a second activation in a row")

    def answers(self) -> Activation | None:
        """The activation of the answers; None without a classifier."""
        if len(self.dense) == 2 and self.dense[0].activation != "relu":
            first = self.dense[0]
            raise _refused(
                first.layer, f"hidden before the classifier with the activation {first.activation}; expected relu"
            )
        last = self.dense[-1].layer if self.dense else self.graph.layers[self.graph.outputs[0]]
        kind = self.dense[-1].activation if self.dense else self.final
        known: dict[str | None, Activation | None] = {
            "softmax": "softmax",
            "sigmoid": "sigmoid",
            "linear": "none",
            None: None,
        }
        if kind not in known:
            raise _refused(last, f"whose answers pass through {kind}; expected softmax, sigmoid or linear")
        if self.dense and kind == "softmax" and last.config.get("units", last.config.get("output_dim")) == 1:
            raise _refused(last, "a softmax over a single class, which is 1 for every image")
        return known[kind]

    def without_bias(self) -> tuple[str, ...]:
        """The layers that have none."""
        plain = (dense.layer.config.get("use_bias", True) is False for dense in reversed(self.dense))
        return tuple(role for role, is_plain in zip(("classifier", "hidden"), plain, strict=False) if is_plain)

    def names(self) -> dict[str, tuple[str, ...]]:
        paths = [dense.layer.path for dense in self.dense]
        return dict(zip(("classifier", "hidden"), reversed(paths), strict=False))


def keras_activation(layer: StatedLayer) -> str:
    """The activation in a layer's settings, "linear" for none."""
    stated = layer.config.get("activation")
    if isinstance(stated, Mapping):
        stated = stated.get("class_name") or stated.get("config")
    return str(stated or "linear").lower()


def _normalization(graph: StatedGraph) -> Normalization | None:
    """The arithmetic between the input and the network's first layer; None if there is none."""
    inputs = [layer for layer in graph.layers.values() if layer.kind == INPUT_LAYER]
    if len(inputs) != 1:
        raise InputError(f"{PLACE} states {len(inputs)} inputs; expected one, the image")
    (layer,) = inputs
    found, is_stated = Normalization(), False
    while True:
        readers = graph.readers(layer.id)
        if len(readers) != 1:
            break
        (layer,) = readers
        if layer.kind in NETWORK_LAYERS:
            break
        if layer.kind not in (*AT_TRAINING_ONLY, *DROPOUTS):
            found, is_stated = found.then(*_affine(layer)), True
    if not is_stated:
        return None
    _check_values(found)
    return found


def _check_values(found: Normalization) -> None:
    for factor, shift in zip(*_of_equal_length(found.factor, found.shift), strict=True):
        largest = max(abs(shift), abs(255 * factor + shift))
        if not abs(factor) > 0 or largest > MAX_VALUE:
            raise InputError(
                f"{PLACE} states arithmetic that makes {largest:g} of 8-bit values from 0 to 255; expected at most "
                f"{MAX_VALUE:g}: the network seems to want images that were scaled before, which the file does not tell"
            )


def _affine(layer: StatedLayer) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Factor and shift per channel of a layer in front of the network."""
    if layer.kind not in AFFINE:
        raise _refused(
            layer,
            "in front of the network, for which there is no place; expected Rescaling, Normalization, arithmetic "
            "with a number, or random augmentation",
        )
    try:
        return AFFINE[layer.kind](layer)
    except (TypeError, ValueError, ZeroDivisionError, IndexError, KeyError, OverflowError) as error:
        raise _refused(layer, "whose numbers cannot be read; save the model again") from error


def _numbers(value: Any) -> tuple[float, ...]:
    """A number, or one per channel, in any nesting."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(number for part in value for number in _numbers(part))
    return (float(value),)


def _rescaling(layer: StatedLayer) -> tuple[tuple[float, ...], tuple[float, ...]]:
    return _numbers(layer.config["scale"]), _numbers(layer.config.get("offset", 0.0))


def _normalizing(layer: StatedLayer) -> tuple[tuple[float, ...], tuple[float, ...]]:
    if layer.config.get("mean") is None or layer.config.get("invert"):
        raise _refused(layer, "whose statistics were adapted to data; expected mean and variance in its settings")
    mean, variance = _of_equal_length(_numbers(layer.config["mean"]), _numbers(layer.config["variance"]))
    factor = tuple(1 / sqrt(value) for value in variance)
    return factor, tuple(-value * scale for value, scale in zip(mean, factor, strict=True))


def _of_equal_length(first: tuple[float, ...], second: tuple[float, ...]) -> tuple[tuple[float, ...], ...]:
    channels = max(len(first), len(second))
    return tuple(row * channels if len(row) == 1 else row for row in (first, second))


def _arithmetic(layer: StatedLayer) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """One operation with a number, as an operation of Keras 3 or a `TFOpLambda` of Keras 2."""
    name = str(layer.config.get("function", layer.kind)).rpartition(".")[2].lower()
    given = [value for value in (*layer.operands, *layer.keywords.values()) if not isinstance(value, str)]
    is_first = bool(layer.operands) and isinstance(layer.operands[0], str)
    (number,) = [value for value in given if not isinstance(value, bool)]
    value = _numbers(number)
    ones = (1.0,) * len(value)
    negative = tuple(-one for one in value)
    match name:
        case "truediv" | "truedivide" | "divide" if is_first:
            return tuple(1 / one for one in value), (0.0,)
        case "multiply" | "mul":
            return value, (0.0,)
        case "subtract" | "sub":
            return (ones, negative) if is_first else (tuple(-one for one in ones), value)
        case "add" | "__add__":
            return ones, value
    raise _refused(layer, f"the operation {name}; expected one with a number")


AFFINE: Mapping[str, Callable[[StatedLayer], tuple[tuple[float, ...], tuple[float, ...]]]] = {
    "Rescaling": _rescaling,
    "Normalization": _normalizing,
    **dict.fromkeys(("TrueDivide", "Divide", "Multiply", "Subtract", "Add", "TFOpLambda"), _arithmetic),
}
"""Layers in front of the network that are `value * factor + shift`, by their class."""
