"""Classifiers under names that are not their source's: one linear layer, perhaps behind a dropout, that somebody put in
place of the published one."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from xception.arch.compute import CLASSIFIER_BIAS, CLASSIFIER_WEIGHT, HIDDEN_BIAS, HIDDEN_WEIGHT
from xception.convert.naming.rename import Tensors, UpstreamTensor

_WRAPPERS = ("module", "_orig_mod", "model", "net", "network", "backbone", "base_model", "timm_model")
_HEADS = (
    *("head", "heads", "cls_head", "class_head", "classification_head", "new_head", "head_fc"),
    *("fc", "fc1", "fc_out", "fc_cls", "fc_layer", "fc_final", "last_fc", "final_fc", "new_fc", "myfc", "_fc"),
    *("classifier", "classifiers", "cls", "clf", "classify", "classification", "last_linear", "linear", "lin"),
    *("logits", "logit", "output", "outputs", "output_layer", "out", "out_layer", "final", "final_layer", "last_layer"),
    *("predictions", "prediction", "predictor", "top", "_out"),
)
CLASSIFIER_NAME = re.compile(
    rf"((?:{'|'.join(_WRAPPERS)})\.)*(?:{'|'.join(_HEADS)})(\.(?:{'|'.join(_HEADS)}|\d{{1,2}}))*"
)
"""A layer that is a classifier by its name: one of these words, or several, or a place in a `Sequential`. Keras' own
names for any `Dense`, such as `dense_1`, say nothing of a layer's purpose and are not among them."""


@dataclass(frozen=True, kw_only=True)
class Classifier:
    """A linear layer behind the features.

    Attributes:
        layer: its name in the file.
        num_classes: the numbers that it puts out.
        weight: name of its kernel among the prepared tensors.
        bias: name of its bias among them.
        hidden: the layer between the features and this one, if there is one.
    """

    layer: str
    num_classes: int
    weight: str
    bias: str
    hidden: "Classifier | None" = None

    @property
    def tensors(self) -> tuple[str, ...]:
        """Names of all its tensors, those of the hidden layer in front."""
        return (*(self.hidden.tensors if self.hidden else ()), self.weight, self.bias)

    @property
    def layers(self) -> str:
        """Names of its layers in the file."""
        return " and ".join((*([self.hidden.layer] if self.hidden else []), self.layer))

    @property
    def sequence(self) -> str:
        """Name of the `Sequential` whose only layers with weights this one and its hidden one are; "" for all else."""
        parent, _, place = self.layer.rpartition(".")
        return parent if self.hidden and place.isdigit() else ""

    def is_called(self, name: str) -> bool:
        """Tell whether a user's name for it is that of the layer or of its `Sequential`."""
        return name == self.layer or (bool(name) and name == self.sequence)

    @property
    def is_named_so(self) -> bool:
        """True if its name says that it is the classifier."""
        return bool(CLASSIFIER_NAME.fullmatch(self.layer))


def linear_layers(
    values: Tensors, names: Mapping[str, UpstreamTensor], features: int, own_name: Mapping[int, str]
) -> list[Classifier]:
    """Single layers other than the network's own that map its features to anything, in file order.

    Args:
        values: a file's tensors as the source's scheme has prepared them.
        names: the scheme's names by canonical name.
        features: channels of the network's last map.
        own_name: the file's names by the identity of the tensors.
    """
    found = _linear(values, names, own_name)
    return [layer for layer, inputs in found if inputs == features and _is_alone(_place(layer), values)]


def two_layer_heads(
    values: Tensors, names: Mapping[str, UpstreamTensor], features: int, own_name: Mapping[int, str]
) -> list[Classifier]:
    """Pairs of layers, of which the first maps the network's features to as many as the second one takes: places in a
    `Sequential` that has no other layers with weights, or two layers next to each other. The arguments are those of
    `linear_layers`."""
    layers = _linear(values, names, own_name)
    pairs = []
    for second, inputs in layers:
        firsts = [first for first, taken in layers if taken == features and first.num_classes == inputs]
        next_to_it = [first for first in firsts if _parent(first) == _parent(second) and first is not second]
        if len(next_to_it) == 1 and _are_alone(next_to_it[0], second, values):
            pairs.append(replace(second, hidden=next_to_it[0]))
    return pairs


def _linear(
    values: Tensors, names: Mapping[str, UpstreamTensor], own_name: Mapping[int, str]
) -> list[tuple[Classifier, int]]:
    """All linear layers with a bias but the network's own, each with the number of its inputs, in file order."""
    weight, bias = names[CLASSIFIER_WEIGHT], names[CLASSIFIER_BIAS]
    leaf, bias_leaf = _leaf(weight.name), _leaf(bias.name)
    found = []
    for name, value in values.items():
        layer = name.removesuffix(leaf)
        other = values.get(layer + bias_leaf)
        if layer in (name, layer_name(weight.name)) or other is None:
            continue
        shape = _canonical_shape(value, weight)
        if len(shape) == 2 and other.shape == shape[:1] and other.size:
            own = own_name.get(id(value), name).removesuffix(leaf)
            classifier = Classifier(layer=own, num_classes=other.size, weight=name, bias=layer + bias_leaf)
            found.append((classifier, shape[1]))
    return found


def _place(layer: Classifier) -> str:
    """The name of a layer among the prepared tensors."""
    return layer_name(layer.weight)


def _parent(layer: Classifier) -> str:
    return _place(layer).rpartition(".")[0]


def _are_alone(first: Classifier, second: Classifier, values: Tensors) -> bool:
    """True if nothing else with weights stands in the `Sequential` of two layers, or if they stand in none."""
    own = (first.weight, first.bias, second.weight, second.bias)
    is_sequence = _place(second).rpartition(".")[2].isdigit()
    return not is_sequence or _is_alone(_place(second), {name: v for name, v in values.items() if name not in own})


def own_classifier(
    values: Tensors, names: Mapping[str, UpstreamTensor], own_name: Mapping[int, str]
) -> Classifier | None:
    """The layer under the source's own name, if it is whole; the arguments are those of `linear_layers`."""
    weight, bias = names[CLASSIFIER_WEIGHT].name, names[CLASSIFIER_BIAS].name
    if weight not in values or bias not in values:
        return None
    layer = own_name.get(id(values[weight]), weight).removesuffix(_leaf(weight))
    return Classifier(layer=layer, num_classes=values[bias].size, weight=weight, bias=bias)


def hidden_layers(values: Tensors, names: Mapping[str, UpstreamTensor]) -> list[str]:
    """Layers of a classifier that consists of several, in file order."""
    leaf = _leaf(names[CLASSIFIER_WEIGHT].name)
    layers = [name.removesuffix(leaf) for name in values if name.endswith(leaf)]
    return [layer for layer in layers if CLASSIFIER_NAME.fullmatch(layer) and not _is_alone(layer, values)]


def _is_alone(layer: str, values: Tensors) -> bool:
    """True if nothing else with weights stands in the same `Sequential`, as it would next to a hidden layer."""
    parent, _, place = layer.rpartition(".")
    rest = [name for name in values if not name.startswith(f"{layer}.")] if place.isdigit() else []
    return not any(re.match(rf"{re.escape(parent)}\.\d", name) for name in rest)


def with_classifier(values: Tensors, names: Mapping[str, UpstreamTensor], found: Classifier) -> dict[str, np.ndarray]:
    """The tensors with this layer under the names of the network's own, which it replaces, and with its hidden one."""
    own = {found.weight: names[CLASSIFIER_WEIGHT].name, found.bias: names[CLASSIFIER_BIAS].name}
    if found.hidden:
        own |= {found.hidden.weight: names[HIDDEN_WEIGHT].name, found.hidden.bias: names[HIDDEN_BIAS].name}
    return {own.get(name, name): value for name, value in values.items() if name in own or name not in own.values()}


def has_classifier(values: Tensors, names: Mapping[str, UpstreamTensor]) -> bool:
    """True if any part of a classifier has the source's own name."""
    return names[CLASSIFIER_WEIGHT].name in values or names[CLASSIFIER_BIAS].name in values


def layer_name(tensor: str) -> str:
    """The layer that a tensor belongs to."""
    return tensor.removesuffix(_leaf(tensor))


def _leaf(name: str) -> str:
    """The end of a tensor's name behind its layer, with the separator in front."""
    return re.sub(r"^.*(?=[._/][^._/]+$)", "", name)


def _canonical_shape(value: np.ndarray, there: UpstreamTensor) -> tuple[int, ...]:
    """The shape in canonical layout; () for a tensor that no linear layer has."""
    axes = there.layout.axes or range(value.ndim)
    if (
        value.ndim != there.layout.leading + len(axes)
        or value.shape[: there.layout.leading] != (1,) * there.layout.leading
    ):
        return ()
    return tuple(int(value.shape[there.layout.leading + axis]) for axis in axes)
