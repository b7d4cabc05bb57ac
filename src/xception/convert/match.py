"""Matches of a group of weights with the variants under a source's names; only names and shapes are compared."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from xception.arch.compute import CLASSIFIER_BIAS, CLASSIFIER_WEIGHT, HIDDEN_WEIGHT, STEM_WEIGHT, Shape, tensors
from xception.arch.spec import Architecture
from xception.arch.stackwise import Stackwise
from xception.arch.variants import VARIANTS, architecture
from xception.convert.heads import (
    Classifier,
    has_classifier,
    hidden_layers,
    layer_name,
    linear_layers,
    own_classifier,
    two_layer_heads,
    with_classifier,
)
from xception.convert.known_extras import known_extra
from xception.convert.naming.rename import TensorLayout, Tensors, UpstreamTensor
from xception.convert.naming.schemes import NAMING_SCHEMES, last_pointwise, published_variants, upstream_names
from xception.convert.stated_head import head_names, names_of, tensor_names_of, with_stated_head
from xception.convert.weight_groups import WeightGroup
from xception.errors import InputError


@dataclass(frozen=True, kw_only=True, eq=False)
class Match:
    """One variant compared with one group of weights. All names are the file's; `misshapen` are sentences.

    Attributes:
        group: the group of weights.
        source: the source whose names were looked for.
        spec: the variant with the classes, channels and width that the shapes tell.
        prepared: the group's tensors under exactly the names that the source's scheme knows.
        width: channels in relation to the published network.
        classifier: the linear layer that was taken as the classifier though its name is not the source's.
        other_classifiers: linear layers behind the features, any of which could be taken as the classifier.
        two_layer_heads: pairs of linear layers behind the features, of which the second could be the classifier.
        may_be_in_front: layers that are passed over for the one that the user names, and have as many outputs as it has
            inputs, so that they may be a hidden layer of it.
        hidden_layers: names of the layers in the classifier's place, if there are several.
        dropped: tensors that no logit depends on, with what they are.
        problem: the reason why the source's rules do not apply to the file, else "".
    """

    group: WeightGroup
    source: str
    spec: Architecture
    prepared: Tensors = field(default_factory=dict)
    width: float = 1.0
    matched: int = 0
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    misshapen: tuple[str, ...] = ()
    classifier: Classifier | None = None
    other_classifiers: tuple[Classifier, ...] = ()
    two_layer_heads: tuple[Classifier, ...] = ()
    may_be_in_front: tuple[Classifier, ...] = ()
    hidden_layers: tuple[str, ...] = ()
    dropped: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""

    @property
    def is_full(self) -> bool:
        """True if every tensor of the file and of the network has its counterpart."""
        return bool(self.matched) and not (self.missing or self.unexpected or self.misshapen)

    @property
    def is_headless(self) -> bool:
        """True if nothing but the classifier is missing, and nothing is unexpected."""
        return self.lacks_only_classifier and not self.unexpected

    @property
    def lacks_only_classifier(self) -> bool:
        """True if nothing but the classifier is missing, whatever else is in the file."""
        head = {self._name(CLASSIFIER_WEIGHT), self._name(CLASSIFIER_BIAS)}
        return bool(self.matched) and set(self.missing) == head and not self.misshapen

    @property
    def classifier_name(self) -> str:
        """The source's name for the layer that is the classifier."""
        return layer_name(self._name(CLASSIFIER_WEIGHT))

    @property
    def classifier_tensors(self) -> tuple[str, ...]:
        """The file's names of the tensors that stand in the classifier's place."""
        own_name = {id(value): name for name, value in self.group.tensors.items()}
        places = [self._name(CLASSIFIER_WEIGHT), self._name(CLASSIFIER_BIAS)]
        found = [(place, self.prepared[place]) for place in places if place in self.prepared]
        return tuple(own_name.get(id(value), place) for place, value in found)

    @property
    def misfits_only_in_classifier(self) -> bool:
        """True if the whole network is there and nothing but the classifier takes other features than it gives."""
        head = {self._name(CLASSIFIER_WEIGHT), self._name(CLASSIFIER_BIAS)}
        names = {sentence.partition(" is (")[0] for sentence in self.misshapen}
        return bool(names) and names <= head and not set(self.missing) - head

    @property
    def drops_background(self) -> bool:
        """True if the file has one class more than is taken over, in front of the others, as TF-slim's files have."""
        bias = self.group.tensors.get(self._name(CLASSIFIER_BIAS))
        return bias is not None and bias.shape == (self.spec.num_classes + 1,)

    @property
    def score(self) -> float:
        """The part of all tensors, of file and network together, that match: 1 for a full match."""
        different = len(self.missing) + len(self.unexpected) + len(self.misshapen)
        return self.matched / max(1, self.matched + different)

    @property
    def num_classes(self) -> int | None:
        """The classes of the file's classifier, None if it has none."""
        return None if self._name(CLASSIFIER_WEIGHT) in self.missing else self.spec.num_classes

    def _name(self, canonical: str) -> str:
        return upstream_names(self.source, self.spec.name)[canonical].name


def best_matches(groups: list[WeightGroup]) -> list[Match]:
    """The matches of the group that matches any variant best, the best first."""
    return max((match_variants(group) for group in groups), key=lambda matches: matches[0].score)


def match_variants(group: WeightGroup) -> list[Match]:
    """Matches with all variants of all sources, or of the one that the file names, the best first.

    Among equal ones, those of the published width come first, then those with a problem.
    """
    only = group.stated.variants if group.stated.stackwise else None
    matches = [
        match_variant(group, source, variant)
        for source, variant in published_variants(group.stated.source)
        if only is None or variant in only
    ]
    return sorted(matches, key=lambda found: (-found.score, found.width != 1.0, not found.problem))


def match_variant(group: WeightGroup, source: str, variant: str) -> Match:
    """Compare one variant's tensors, with the widths that the file states, with a group of weights."""
    stackwise = group.stated.stackwise
    published = architecture(variant, stackwise=stackwise)
    try:
        prepared = NAMING_SCHEMES[source].prepare_tensors(group.tensors, published)
    except InputError as error:
        return Match(group=group, source=source, spec=published, problem=str(error))
    head = head_names(source, variant, stackwise)
    prepared = with_stated_head(prepared, group.tensors, group.prefix, head, group.stated)
    names = upstream_names(source, variant, stackwise)
    prepared |= _zero_bias(prepared, names)
    if not any(there.name in prepared for there in names.values()):
        missing = tuple(there.name for there in names.values())
        unexpected = tuple(group.tensors)
        return Match(group=group, source=source, spec=published, missing=missing, unexpected=unexpected)
    # Keras' layers are numbered anew; a user must read the name that is in the file.
    own_name = {id(value): name for name, value in group.tensors.items()}
    layers = prepared, names, _features(prepared, names, published), own_name
    found, pairs, own = linear_layers(*layers), two_layer_heads(*layers), own_classifier(prepared, names, own_name)
    taken = _classifier(pairs if group.has_hidden else found, own, prepared, names, group)
    others = tuple(layer for layer in found if layer != taken and known_extra(layer.weight) is None)
    before, whole = prepared, with_classifier(prepared, head, taken) if taken else prepared
    spec, width = _spec(whole, source, variant, stackwise)
    expected = _expected(spec, names_of(source, spec, stackwise))
    dropped = _dropped(name for name in whole if name not in expected) | _unused(whole, group)
    if taken and group.head:
        dropped |= _passed_over((own, *others, *pairs), taken)
    prepared = {name: value for name, value in whole.items() if name in expected or name not in dropped}
    return Match(
        group=group,
        source=source,
        spec=spec,
        prepared=prepared,
        width=width,
        matched=sum(name in prepared and prepared[name].shape == shape for name, shape in expected.items()),
        missing=tuple(name for name in expected if name not in prepared),
        unexpected=tuple(own_name.get(id(value), name) for name, value in prepared.items() if name not in expected),
        misshapen=tuple(_misshapen(prepared, expected)),
        classifier=taken,
        other_classifiers=() if group.head else (*((own,) if own and others else ()), *others),
        two_layer_heads=tuple(pairs),
        may_be_in_front=_in_front(others, taken, spec, layers[2]) if group.head else (),
        hidden_layers=tuple(hidden_layers(prepared, names)),
        dropped={own_name.get(id(before[name]), name): what for name, what in dropped.items()},
    )


@cache
def twins(variant: str) -> tuple[str, ...]:
    """Other variants with the same tensors, name by name and shape by shape."""
    own = tensors(VARIANTS[variant])
    return tuple(name for name, spec in VARIANTS.items() if name != variant and tensors(spec) == own)


def is_same_quality(match: Match, best: Match) -> bool:
    """True if two matches cannot be told apart: as many tensors match, and both or none at the published width."""
    return match.score == best.score and (match.width == 1.0) == (best.width == 1.0)


def _classifier(
    found: list[Classifier],
    own: Classifier | None,
    values: Tensors,
    names: Mapping[str, UpstreamTensor],
    group: WeightGroup,
) -> Classifier | None:
    """The layer that the user names, or else the only one whose name and place say that it is the classifier; None for
    the network's own classifier."""
    if group.head is not None:
        return next((layer for layer in (own, *found) if layer and layer.is_called(group.head)), None)
    if has_classifier(values, names):
        return None
    named = [layer for layer in found if layer.is_named_so]
    return named[0] if len(found) == len(named) == 1 else None


def _zero_bias(values: Tensors, names: Mapping[str, UpstreamTensor]) -> dict[str, np.ndarray]:
    """The zeros of a classifier that was made without a bias; nothing for any other."""
    weight, bias = names[CLASSIFIER_WEIGHT], names[CLASSIFIER_BIAS]
    if weight.name not in values or bias.name in values:
        return {}
    return {bias.name: np.zeros(_length(values, weight, 0, 1), values[weight.name].dtype)}


def _dropped(names: Iterable[str]) -> dict[str, str]:
    """The tensors among these that no logit depends on, with what they are."""
    rows = {name: known_extra(name) for name in names}
    return {name: row.what for name, row in rows.items() if row and not row.needed}


def _unused(values: Tensors, group: WeightGroup) -> dict[str, str]:
    """The tensors of the layers that are not taken over, as the file states them."""
    leaves = ("kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance")
    names = {
        name for path in group.stated.unused for leaf in leaves for name in tensor_names_of(path, leaf, group.prefix)
    }
    ids = {id(value) for name, value in group.tensors.items() if name in names}
    return {name: "not asked for" for name, value in values.items() if id(value) in ids}


def _in_front(
    layers: Iterable[Classifier], taken: Classifier | None, spec: Architecture, features: int
) -> tuple[Classifier, ...]:
    """The layers that may be in front of a single one, since they put out as many numbers as they take."""
    is_single = taken is not None and spec.head.hidden_features is None
    return tuple(layer for layer in layers if is_single and layer.num_classes == features)


def _passed_over(layers: Iterable[Classifier | None], taken: Classifier) -> dict[str, str]:
    """The tensors of all classifiers but the one that the user names."""
    others = {name for layer in layers if layer for name in layer.tensors} - set(taken.tensors)
    return dict.fromkeys(sorted(others), "another classifier")


def _misshapen(values: Tensors, expected: Mapping[str, Shape]) -> list[str]:
    return [
        f"{name} is {values[name].shape}, expected {shape}"
        for name, shape in expected.items()
        if name in values and values[name].shape != shape
    ]


def _expected(spec: Architecture, names: Mapping[str, UpstreamTensor]) -> dict[str, Shape]:
    shapes = tensors(spec)
    return {there.name: there.layout.upstream_shape(shapes[name]) for name, there in names.items()}


def _spec(values: Tensors, source: str, variant: str, stackwise: Stackwise | None) -> tuple[Architecture, float]:
    """The variant with the classes, channels, width and head of these tensors; stated widths are not to be scaled."""
    published, names = architecture(variant, stackwise=stackwise), head_names(source, variant, stackwise)
    hidden = _length(values, names[HIDDEN_WEIGHT], 0, 0) or None
    first = names[HIDDEN_WEIGHT if hidden else CLASSIFIER_WEIGHT]
    features = _features(values, names, published)
    is_double = published.head.kind == "dense" and _length(values, first, 1, 0) == 2 * features
    head: dict[str, Any] = {
        "pooling": "catavgmax" if is_double else None,
        "hidden_features": hidden,
        "stackwise": stackwise,
    }
    classes = _length(values, names[CLASSIFIER_WEIGHT], 0, published.num_classes)
    channels = _length(values, names[STEM_WEIGHT], 1, published.in_channels)
    last = last_pointwise(variant, stackwise)
    full = tensors(published)[last][0]
    ratio = _length(values, names[last], 0, full) / full
    # Rounded first: the true width is more often 0.25 than what rounding the channels left of it.
    for width in filter(None, (1.0,) if stackwise else dict.fromkeys((1.0, round(ratio, 2), ratio))):
        spec = architecture(variant, num_classes=classes, in_channels=channels, width=width, **head)
        if not _misshapen(values, _expected(spec, names_of(source, spec, stackwise))):
            return spec, width
    return architecture(variant, num_classes=classes, in_channels=channels, **head), 1.0


def _features(values: Tensors, names: Mapping[str, UpstreamTensor], published: Architecture) -> int:
    """Channels of the file's last map."""
    last = f"blocks.{len(published.blocks) - 1}.units.{len(published.blocks[-1].units) - 1}.pointwise.weight"
    return _length(values, names[last], 0, tensors(published)[last][0])


def _length(values: Tensors, there: UpstreamTensor, axis: int, default: int) -> int:
    """The length of a tensor's canonical axis; the default if the tensor is not there or has no such axis."""
    value = values.get(there.name)
    place = _place(there.layout, axis)
    return int(value.shape[place]) or default if isinstance(value, np.ndarray) and place < value.ndim else default


def _place(layout: TensorLayout, axis: int) -> int:
    return layout.leading + (axis if layout.axes is None else layout.axes[axis])
