"""The sets of weights in a checkpoint: its groups, and within a group what wrappers put under different prefixes."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import numpy as np

from xception.arch.variants import VARIANTS
from xception.convert.readers import Checkpoint
from xception.convert.rename import Tensors, Upstream, relabel
from xception.convert.sources import SOURCES
from xception.errors import InputError, UnknownName

MAX_PREFIXES = 8
"""Sets in one group: a network, its average, a teacher, an optimizer's two moments of each."""

SLIM_AVERAGE = "/ExponentialMovingAverage"
"""What TensorFlow puts behind the name of a variable for its running average."""


@dataclass(frozen=True, kw_only=True, eq=False)
class WeightSet:
    """One network's tensors, without the prefix that all of them share; what stands under no prefix belongs to each.

    `name` is how a user refers to it: the group, a slash, and the prefix without its last dot, if there are such.
    """

    name: str
    group: str
    prefix: str
    tensors: dict[str, np.ndarray]

    @property
    def is_average(self) -> bool:
        """Whether its name says that it is a running average of weights."""
        return "ema" in self.name.lower() or "average" in self.name.lower()


def weight_sets(checkpoint: Checkpoint) -> list[WeightSet]:
    """All sets of weights in file order, at least one.

    Raises:
        InputError: two tensors of a set have one name.
    """
    return [found for group, tensors in checkpoint.groups.items() for found in _split(group, tensors)]


def choose_sets(sets: list[WeightSet], *, name: str | None = None, average: bool = False) -> list[WeightSet]:
    """The sets that a user's choice leaves: the one called `name`, or the averages, or else all others.

    Raises:
        UnknownName: no set is called so.
        InputError: no set is an average.
    """
    if name is not None:
        chosen = [found for found in sets if found.name == name]
        if not chosen:
            raise UnknownName("group of weights", name, [found.name for found in sets])
        return chosen
    chosen = [found for found in sets if found.is_average == average]
    if average and not chosen:
        raise InputError(
            f"the file holds no running average of the weights, only {', '.join(repr(found.name) for found in sets)}; "
            "convert it without --ema"
        )
    return chosen or sets


@cache
def upstream_names(source: str, variant: str) -> dict[str, Upstream]:
    """A source's names for a variant by canonical name. Not to be changed."""
    return SOURCES[source].names(VARIANTS[variant])


@cache
def last_pointwise(variant: str) -> str:
    """The canonical name of the last separable convolution's pointwise kernel, which no other layer's name resembles
    and no headless file lacks."""
    blocks = VARIANTS[variant].blocks
    return f"blocks.{len(blocks) - 1}.units.{len(blocks[-1].units) - 1}.pointwise.weight"


def _split(group: str, tensors: Tensors) -> list[WeightSet]:
    prefixes = _prefixes(tensors)
    sets = [_weight_set(group, tensors, prefix, prefixes) for prefix in prefixes]
    average = {name.removesuffix(SLIM_AVERAGE): value for name, value in tensors.items() if name.endswith(SLIM_AVERAGE)}
    if average:
        name = _join(group, SLIM_AVERAGE.strip("/"))
        sets.append(WeightSet(name=name, group=group, prefix="", tensors={**tensors, **average}))
    return sets


def _weight_set(group: str, tensors: Tensors, prefix: str, prefixes: list[str]) -> WeightSet:
    def new_name(name: str) -> str | None:
        longest = max((other for other in prefixes if name.startswith(other)), key=len, default=None)
        if longest in (prefix, None):
            return name.removeprefix(prefix)
        return None

    name = _join(group, prefix.rstrip("./"))
    return WeightSet(name=name, group=group, prefix=prefix, tensors=relabel(tensors, new_name))


def _join(group: str, rest: str) -> str:
    return "/".join(part for part in (group, rest) if part)


def _prefixes(names: Iterable[str]) -> list[str]:
    """What stands before the name of any network's last pointwise kernel, the shortest first; "" if there is none."""
    markers = _markers()
    found: Counter[str] = Counter()
    for name in names:
        if name.endswith(markers):
            found.update({name.removesuffix(marker) for marker in markers if name.endswith(marker)})
    prefixes = sorted((prefix for prefix in found if not prefix or prefix.endswith((".", "/"))), key=len)
    return prefixes[:MAX_PREFIXES] or [""]


@cache
def _markers() -> tuple[str, ...]:
    pairs = ((name, variant) for name, source in SOURCES.items() for variant in source.VARIANTS)
    return tuple({upstream_names(name, variant)[last_pointwise(variant)].name for name, variant in pairs})
