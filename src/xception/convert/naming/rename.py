"""Tensors from a source's names and layouts to the canonical ones, and back."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from xception.arch.compute import Shape, tensors
from xception.arch.spec import Architecture
from xception.errors import InputError, UsageError
from xception.weights import check_tensors

Tensors = Mapping[str, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class TensorLayout:
    """The order of a tensor's axes at its source.

    Attributes:
        axes: for every canonical axis its place at the source, counted behind `leading`; None for the same order.
        leading: axes of length 1 in front that only the source has.
    """

    axes: tuple[int, ...] | None = None
    leading: int = 0

    def to_canonical(self, array: np.ndarray) -> np.ndarray:
        inner = array.reshape(array.shape[self.leading :])
        return inner if self.axes is None else inner.transpose(self.axes)

    def to_upstream(self, array: np.ndarray) -> np.ndarray:
        inner = array if self.axes is None else array.transpose(np.argsort(self.axes))
        return inner[(np.newaxis,) * self.leading]

    def upstream_shape(self, shape: Shape) -> Shape:
        """The shape at the source of a tensor whose canonical shape is `shape`."""
        return self.to_upstream(np.broadcast_to(np.float32(0), shape)).shape


SAME = TensorLayout()
HWIO = TensorLayout(axes=(3, 2, 0, 1))
"""TensorFlow's convolution kernels: height, width, in, out."""
HWIM = TensorLayout(axes=(2, 3, 0, 1))
"""TensorFlow's depthwise kernels: height, width, channel, multiplier (1)."""
IO = TensorLayout(axes=(1, 0))
"""Linear layers that are stored as in x out."""
HWIO_DENSE = TensorLayout(axes=(1, 0), leading=2)
"""A linear layer stored as a 1x1 convolution: 1, 1, in, out."""


@dataclass(frozen=True, slots=True)
class UpstreamTensor:
    """A tensor at its source."""

    name: str
    layout: TensorLayout


@dataclass(frozen=True, slots=True)
class LayerPlace:
    """The position of a layer in the network. All numbers count from 0.

    Attributes:
        role: its canonical name without the numbers.
        index: number of the stem's convolution or of the block.
        unit: number in the block.
        flow: entry, middle or exit; "" outside of blocks.
        nth: number of the block in its flow.
        is_tail: the block has no shortcut.
    """

    role: str
    index: int = 0
    unit: int = 0
    flow: str = ""
    nth: int = 0
    is_tail: bool = False

    @property
    def kind(self) -> str:
        """Its last word: conv, norm, depthwise, pointwise or classifier."""
        return self.role.rpartition(".")[2]


LayerName = Callable[[LayerPlace], str]
"""A layer's name at a source."""
Leaves = Mapping[str, tuple[str, TensorLayout]]
"""`kind.leaf`, for example "norm.running_mean", to what a source appends to the layer's name and the layout."""


class NamingScheme(Protocol):
    """A module that knows one source's names."""

    @property
    def PUBLISHED_VARIANTS(self) -> tuple[str, ...]:  # noqa: N802 - a constant of the module
        """The networks that the source publishes under these names."""

    def tensor_names(self, architecture: Architecture, /) -> dict[str, UpstreamTensor]:
        """The tensors of one of its variants by canonical name."""

    def prepare_tensors(self, tensors: Tensors, architecture: Architecture, /) -> dict[str, np.ndarray]:
        """A file's tensors under exactly the keys that `tensor_names` knows: wrapper prefixes stripped, historic names
        modernised, and training state left out.

        Raises:
            InputError: the file's own rules contradict each other.
        """


def name_table(architecture: Architecture, layer_name: LayerName, leaves: Leaves) -> dict[str, UpstreamTensor]:
    """A source's names for all tensors of a network, by canonical name."""
    named = {}
    for tensor in tensors(architecture):
        layer, _, leaf = tensor.rpartition(".")
        place = locate_layer(layer, architecture)
        suffix, layout = leaves[f"{place.kind}.{leaf}"]
        named[tensor] = UpstreamTensor(layer_name(place) + suffix, layout)
    return named


def locate_layer(layer: str, architecture: Architecture) -> LayerPlace:
    """The place that a canonical layer name describes."""
    words = layer.split(".")
    role = ".".join(word for word in words if not word.isdigit())
    index, unit, *_ = (*(int(word) for word in words if word.isdigit()), 0, 0)
    if words[0] != "blocks":
        return LayerPlace(role, index)
    block = architecture.blocks[index]
    nth = sum(earlier.flow == block.flow for earlier in architecture.blocks[:index])
    return LayerPlace(role, index, unit, block.flow, nth, block.shortcut == "none")


def rename(values: Tensors, architecture: Architecture, scheme: NamingScheme) -> dict[str, np.ndarray]:
    """A source's tensors as float32 under canonical names, in canonical layout; views of `values` where nothing moves.

    Raises:
        InputError: a tensor is missing, superfluous or of another shape; both sides are listed by the source's names.
        UsageError: the source has no names for this network.
    """
    names = _names(architecture, scheme)
    return canonical_tensors(scheme.prepare_tensors(values, architecture), architecture, names)


def canonical_tensors(
    prepared: Tensors,
    architecture: Architecture,
    names: Mapping[str, UpstreamTensor],
    *,
    without: Collection[str] = (),
) -> dict[str, np.ndarray]:
    """`rename` for tensors that the source's scheme has prepared already.

    Args:
        prepared: tensors under the names that the scheme knows.
        architecture: the network.
        names: the scheme's names by canonical name.
        without: canonical names of tensors that are not wanted, be they there or not.

    Raises:
        InputError: a tensor is missing, superfluous or of another shape; both sides are listed by the source's names.
    """
    shapes = tensors(architecture)
    unwanted = {names[name].name for name in without}
    wanted = {name: there for name, there in names.items() if name not in without}
    values = {name: value for name, value in prepared.items() if name not in unwanted}
    check_tensors(values, {there.name: there.layout.upstream_shape(shapes[name]) for name, there in wanted.items()})
    return {
        name: np.ascontiguousarray(there.layout.to_canonical(values[there.name]), np.float32)
        for name, there in wanted.items()
    }


def rename_back(values: Tensors, architecture: Architecture, scheme: NamingScheme) -> dict[str, np.ndarray]:
    """Canonical tensors under a source's names, in its layout: the inverse of `rename`.

    Raises:
        InputError: `values` are not exactly the network's tensors.
        UsageError: the source has no names for this network.
    """
    names = _names(architecture, scheme)
    check_tensors(values, tensors(architecture))
    return {there.name: np.ascontiguousarray(there.layout.to_upstream(values[name])) for name, there in names.items()}


def _names(architecture: Architecture, scheme: NamingScheme) -> dict[str, UpstreamTensor]:
    if architecture.name not in scheme.PUBLISHED_VARIANTS:
        raise UsageError(
            f"this source has no names for the tensors of {architecture.name}; "
            f"it has them for {', '.join(scheme.PUBLISHED_VARIANTS)}"
        )
    if architecture.head.hidden_features is not None:
        raise UsageError("this source has no name for a hidden layer before the classifier; it has a plain classifier")
    return scheme.tensor_names(architecture)


def strip_prefixes(name: str, prefixes: Sequence[str]) -> str:
    """The name without any of the prefixes, however often they are nested."""
    while found := next((prefix for prefix in prefixes if name.startswith(prefix)), None):
        name = name.removeprefix(found)
    return name


def relabel(values: Tensors, new_name: Callable[[str], str | None]) -> dict[str, np.ndarray]:
    """The tensors under new names; those whose new name is None are left out.

    Raises:
        InputError: two tensors end up with one name.
    """
    renamed: dict[str, np.ndarray] = {}
    origin: dict[str, str] = {}
    for old, value in values.items():
        new = new_name(old)
        if new is None:
            continue
        if new in renamed:
            raise InputError(
                f"the tensors {origin[new]!r} and {old!r} both stand for {new!r}; keep one of them in the file"
            )
        renamed[new], origin[new] = value, old
    return renamed
