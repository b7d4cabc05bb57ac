"""Mapping from the classes of a data set to those of a model."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from xception.data.classes import SEPARATOR
from xception.data.source import Item, Source, Target, indices_of
from xception.errors import InputError


def renamed(classes: Sequence[str], class_map: Mapping[str, str]) -> tuple[str, ...]:
    """The model's names of a data set's classes.

    Raises:
        InputError: a class is mapped that the data do not have.
    """
    strange = sorted(class_map.keys() - set(classes))
    if strange:
        raise InputError(
            f"the class map names {strange[0]!r}, which is none of the data's {len(classes)} classes, "
            f"such as {', '.join(classes[:3])}; expected the data's classes on its left side"
        )
    return tuple(class_map.get(name, name) for name in classes)


def present(source: Source, targets: Sequence[int]) -> tuple[int, ...]:
    """The model's classes of which there are images, in the model's order.

    Raises:
        InputError: there are no labelled images.
    """
    # By index, since iterating moves a progress bar.
    found = {target for index in range(len(source)) for target in indices_of(source[index].target)}
    if not found:
        raise InputError(f"{source.name} has no labelled images; expected some to hold the model to their classes")
    return tuple(sorted({targets[target] for target in found}))


def relabelled(items: Iterable[Item], targets: tuple[int, ...]) -> Iterator[Item]:
    """Items with the model's class indices in place of the data set's, one or a set of them.

    Raises:
        InputError: an item has no label.
    """
    for item in items:
        if item.target is None:
            raise InputError(f"{item.key} has no label; expected a labelled data set")
        yield Item(item.key, in_model(item.target, targets), item.load)


def in_model(target: Target, targets: Sequence[int]) -> Target:
    """The model's class index, or set of them, for the data set's; several of the data's classes may be one there."""
    if isinstance(target, tuple):
        return tuple(sorted({targets[index] for index in target}))
    return targets[target]


def named(target: Target | None, classes: Sequence[str]) -> str | None:
    """The name of a true class, or of all of an image's with `SEPARATOR` between them; None without a label."""
    return None if target is None else SEPARATOR.join(classes[index] for index in indices_of(target))
