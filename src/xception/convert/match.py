"""How well a set of weights fits a variant under a source's names; only names and shapes are looked at."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np

from xception.arch.compute import Shape, tensors
from xception.arch.spec import Architecture
from xception.arch.variants import VARIANTS, architecture
from xception.convert.rename import Layout, Tensors, Upstream
from xception.convert.sources import SOURCES
from xception.convert.weight_sets import WeightSet, last_pointwise, upstream_names
from xception.errors import InputError

STEM, CLASSIFIER, CLASSIFIER_BIAS = "stem.0.conv.weight", "head.classifier.weight", "head.classifier.bias"


@dataclass(frozen=True, kw_only=True, eq=False)
class Fit:
    """One variant held against one set of weights. All names are the file's; `misshapen` are sentences.

    Attributes:
        spec: the variant with the classes, channels and width that the shapes tell.
        width: channels in relation to the published network.
        problem: why the source's rules do not apply to the file, else "".
    """

    weights: WeightSet
    source: str
    spec: Architecture
    width: float = 1.0
    matched: int = 0
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    misshapen: tuple[str, ...] = ()
    problem: str = ""

    @property
    def is_full(self) -> bool:
        """Whether every tensor of the file and of the network has its counterpart."""
        return bool(self.matched) and not (self.missing or self.unexpected or self.misshapen)

    @property
    def is_headless(self) -> bool:
        """Whether the classifier is all that is not there."""
        names = upstream_names(self.source, self.spec.name)
        head = {names[name].name for name in (CLASSIFIER, CLASSIFIER_BIAS)}
        return bool(self.matched) and set(self.missing) == head and not (self.unexpected or self.misshapen)

    @property
    def drops_background(self) -> bool:
        """Whether the file has one class more than is taken over, in front of the others, as TF-slim's have."""
        name = upstream_names(self.source, self.spec.name)[CLASSIFIER_BIAS].name
        bias = self.weights.tensors.get(name)
        return bias is not None and bias.shape == (self.spec.num_classes + 1,)

    @property
    def score(self) -> float:
        """The part of all tensors, of file and network together, that match: 1 for a full fit."""
        different = len(self.missing) + len(self.unexpected) + len(self.misshapen)
        return self.matched / max(1, self.matched + different)


def best_fits(weights: WeightSet) -> list[Fit]:
    """All variants of all sources, the best first; the published width goes before others, and a reason before none."""
    pairs = [(name, variant) for name, source in SOURCES.items() for variant in source.VARIANTS]
    fits = [fit(weights, source, variant) for source, variant in pairs]
    return sorted(fits, key=lambda found: (-found.score, found.width != 1.0, not found.problem))


def fit(weights: WeightSet, source: str, variant: str) -> Fit:
    """Hold one variant's tensors against a set of weights."""
    try:
        prepared = SOURCES[source].prepare(weights.tensors, VARIANTS[variant])
    except InputError as error:
        return Fit(weights=weights, source=source, spec=VARIANTS[variant], problem=str(error))
    names = upstream_names(source, variant)
    if not any(there.name in prepared for there in names.values()):
        missing = tuple(there.name for there in names.values())
        return Fit(
            weights=weights, source=source, spec=VARIANTS[variant], missing=missing, unexpected=tuple(weights.tensors)
        )
    spec, width = _spec(prepared, names, variant)
    expected = _expected(spec, names)
    # Keras' layers are numbered anew; a user must read the name that is in the file.
    own_name = {id(value): name for name, value in weights.tensors.items()}
    return Fit(
        weights=weights,
        source=source,
        spec=spec,
        width=width,
        matched=sum(name in prepared and prepared[name].shape == shape for name, shape in expected.items()),
        missing=tuple(name for name in expected if name not in prepared),
        unexpected=tuple(own_name.get(id(value), name) for name, value in prepared.items() if name not in expected),
        misshapen=tuple(_misshapen(prepared, expected)),
    )


@cache
def twins(variant: str) -> tuple[str, ...]:
    """Other variants with the same tensors, name by name and shape by shape."""
    own = tensors(VARIANTS[variant])
    return tuple(name for name, spec in VARIANTS.items() if name != variant and tensors(spec) == own)


def _misshapen(values: Tensors, expected: Mapping[str, Shape]) -> list[str]:
    return [
        f"{name} is {values[name].shape}, expected {shape}"
        for name, shape in expected.items()
        if name in values and values[name].shape != shape
    ]


def _expected(spec: Architecture, names: Mapping[str, Upstream]) -> dict[str, Shape]:
    shapes = tensors(spec)
    return {there.name: there.layout.upstream_shape(shapes[name]) for name, there in names.items()}


def _spec(values: Tensors, names: Mapping[str, Upstream], variant: str) -> tuple[Architecture, float]:
    """The variant with the classes, channels and width of these tensors."""
    published = VARIANTS[variant]
    classes = _length(values, names[CLASSIFIER], 0, published.num_classes)
    channels = _length(values, names[STEM], 1, published.in_channels)
    last = last_pointwise(variant)
    full = tensors(published)[last][0]
    ratio = _length(values, names[last], 0, full) / full
    # Rounded first: the true width is more often 0.25 than what rounding the channels left of it.
    for width in filter(None, dict.fromkeys((1.0, round(ratio, 2), ratio))):
        spec = architecture(variant, num_classes=classes, in_channels=channels, width=width)
        if not _misshapen(values, _expected(spec, names)):
            return spec, width
    return architecture(variant, num_classes=classes, in_channels=channels), 1.0


def _length(values: Tensors, there: Upstream, axis: int, default: int) -> int:
    """The length of a tensor's canonical axis; the default if the tensor is not there or has no such axis."""
    value = values.get(there.name)
    place = _place(there.layout, axis)
    return int(value.shape[place]) or default if isinstance(value, np.ndarray) and place < value.ndim else default


def _place(layout: Layout, axis: int) -> int:
    return layout.leading + (axis if layout.axes is None else layout.axes[axis])
