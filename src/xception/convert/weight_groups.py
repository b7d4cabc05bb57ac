"""Groups of weights in a checkpoint, each one network's: by the file's own keys, and by the prefixes of wrappers."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from xception.convert.naming.rename import Tensors, relabel
from xception.convert.naming.schemes import last_pointwise, published_variants, upstream_names
from xception.convert.readers import CheckpointContents
from xception.convert.stated import NOTHING_STATED, StatedFacts
from xception.errors import InputError, UnknownName

MAX_PREFIXES = 8
"""Groups under one key: a network, its average, a teacher, an optimizer's two moments of each."""

PLACED_LAYER = re.compile(r"(.*/)(?:separable|depthwise)_conv2d:\d+/")
"""A layer of a Keras network inside another one, of which the file tells only class and place."""

MAX_HEADS = 8
"""Layers in a dictionary of its own that is taken for the heads of a network in another one."""

SLIM_AVERAGE = "/ExponentialMovingAverage"
"""TensorFlow's suffix of a variable's running average."""


@dataclass(frozen=True, kw_only=True, eq=False)
class WeightGroup:
    """The tensors of one network; those that stand under no prefix belong to every group.

    Attributes:
        name: the user's name for it: the key, a slash, and the prefix without its last dot, as far as there are such.
        key: where the file holds it, "" in a file with a single group.
        prefix: the start of its tensors' names in the file, which `tensors` go without.
        stated: what the file states about the network.
        head: the layer that is the classifier, by the name that it has in `tensors`; None to go by the names.
        has_hidden: the classifier has two layers, by the user's word for what is between them.
    """

    name: str
    key: str
    prefix: str
    tensors: dict[str, np.ndarray]
    head: str | None = None
    has_hidden: bool = False
    stated: StatedFacts = NOTHING_STATED

    @property
    def is_average(self) -> bool:
        """True if its name says that it is a running average of weights."""
        return "ema" in self.name.lower() or "average" in self.name.lower()


def weight_groups(checkpoint: CheckpointContents, stated: StatedFacts = NOTHING_STATED) -> list[WeightGroup]:
    """All groups of weights in file order, at least one.

    Args:
        checkpoint: what was read.
        stated: what it states about its network, such as the layers of its head.

    Raises:
        InputError: two tensors of a group have one name.
    """
    loose = {key: tensors for key, tensors in checkpoint.groups.items() if _is_all_linear(tensors)}
    networks = {key: tensors for key, tensors in checkpoint.groups.items() if key not in loose} or checkpoint.groups
    heads = {} if networks is checkpoint.groups else _joined(loose)
    groups = [found for key, tensors in networks.items() for found in _split(key, {**tensors, **heads}, stated)]
    return [replace(group, stated=stated) for group in groups]


def _is_all_linear(tensors: Tensors) -> bool:
    """True for a few linear layers: heads, which multi-task training keeps in dictionaries of their own."""
    if not 0 < len(tensors) <= 2 * MAX_HEADS:
        return False
    for name, value in tensors.items():
        layer, dot, leaf = name.rpartition(".")
        partner, axes = {"weight": ("bias", 2), "bias": ("weight", 1)}.get(leaf, ("", -1))
        if value.ndim != axes or f"{layer}{dot}{partner}" not in tensors:
            return False
    return True


def _joined(groups: Mapping[str, Tensors]) -> dict[str, np.ndarray]:
    """The tensors of several groups under names that begin with the group's."""
    named = (
        (f"{key.replace('/', '.')}.{name}", value) for key, group in groups.items() for name, value in group.items()
    )
    return dict(named)


def choose_groups(groups: list[WeightGroup], *, name: str | None = None, average: bool = False) -> list[WeightGroup]:
    """The groups that a user's choice leaves: the one called `name`, or the averages, or else all others.

    Raises:
        UnknownName: no group has this name.
        InputError: no group is an average.
    """
    if name is not None:
        chosen = [found for found in groups if found.name == name]
        if not chosen:
            raise UnknownName("group of weights", name, [found.name for found in groups])
        return chosen
    chosen = [found for found in groups if found.is_average == average]
    if average and not chosen:
        names = ", ".join(repr(found.name) for found in groups)
        raise InputError(f"the file holds no running average of the weights, only {names}; convert it without --ema")
    return chosen or groups


def _split(key: str, tensors: Tensors, stated: StatedFacts) -> list[WeightGroup]:
    prefixes = _prefixes(tensors, stated)
    groups = [_weight_group(key, tensors, prefix, prefixes) for prefix in prefixes]
    average = {name.removesuffix(SLIM_AVERAGE): value for name, value in tensors.items() if name.endswith(SLIM_AVERAGE)}
    if average:
        name = _join(key, SLIM_AVERAGE.strip("/"))
        groups.append(WeightGroup(name=name, key=key, prefix="", tensors={**tensors, **average}))
    return groups


def _weight_group(key: str, tensors: Tensors, prefix: str, prefixes: list[str]) -> WeightGroup:
    def new_name(name: str) -> str | None:
        longest = max((other for other in prefixes if name.startswith(other)), key=len, default=None)
        if longest in (prefix, None):
            return name.removeprefix(prefix)
        return None

    name = _join(key, prefix.rstrip("./"))
    return WeightGroup(name=name, key=key, prefix=prefix, tensors=relabel(tensors, new_name))


def _join(key: str, rest: str) -> str:
    return "/".join(part for part in (key, rest) if part)


def _prefixes(names: Iterable[str], stated: StatedFacts) -> list[str]:
    """Prefixes under which any network's last pointwise kernel is found, the shortest first; "" if there is none."""
    markers = _markers() + _stated_markers(stated)
    found: Counter[str] = Counter()
    names = tuple(names)
    for name in names:
        if name.endswith(markers):
            found.update({name.removesuffix(marker) for marker in markers if name.endswith(marker)})
    found.update(match[1] for match in map(PLACED_LAYER.match, names) if match)
    prefixes = sorted((prefix for prefix in found if not prefix or prefix.endswith((".", "/"))), key=len)
    return prefixes[:MAX_PREFIXES] or [""]


def _stated_markers(stated: StatedFacts) -> tuple[str, ...]:
    """The name of that kernel in a network that is described and has other blocks than the published one."""
    if not (stated.source and stated.variants and stated.stackwise):
        return ()
    network = stated.variants[0], stated.stackwise
    return (upstream_names(stated.source, *network)[last_pointwise(*network)].name,)


@cache
def _markers() -> tuple[str, ...]:
    names = {upstream_names(*pair)[last_pointwise(pair[1])].name for pair in published_variants()}
    flattened = {re.sub(r"^blocks\.", "blocks_", name) for name in names}  # by timm's `features_only`
    return tuple(names | flattened)
