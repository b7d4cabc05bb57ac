"""Training images that cannot be read: counted before the run, and left out if the recipe says so."""

from array import array
from collections.abc import Callable, Mapping

from xception.data.decode import loaded_image
from xception.data.source import Item, Lazy, Source, insisting
from xception.errors import DecodeError, InputError
from xception.machine import cores
from xception.pipeline.overlap import overlap
from xception.waits import each

MAX_NAMED_FAULTS = 3
"""Damaged images that a sentence names."""


def unreadable(source: Source) -> dict[int, str]:
    """The places of the images that cannot be read, each with the reason; reads every image once.

    Raises:
        EnvironmentFault: a server does not answer, which says nothing of its images.
    """
    found = overlap(range(len(source)), _checked(source), workers=cores())
    looked = each(found, "reading the training images", len(source))
    return {place: fault for place, fault in looked if fault}


def without(source: Source, faults: Mapping[int, str], on_note: Callable[[str], None]) -> Source:
    """The source without the images that cannot be read, of which a note gives the number.

    Raises:
        InputError: no image can be read.
    """
    if not faults:
        return source
    named = "; ".join(f"{source[place].key}: {fault}" for place, fault in list(faults.items())[:MAX_NAMED_FAULTS])
    if len(faults) == len(source):
        raise InputError(f"none of the {len(source)} training images can be read: {named}; expected images")
    more = f" and {len(faults) - MAX_NAMED_FAULTS} more" * (len(faults) > MAX_NAMED_FAULTS)
    on_note(f"{len(faults)} of {len(source)} training images cannot be read and are left out: {named}{more}")
    kept = array("q", (place for place in range(len(source)) if place not in faults))
    return Lazy(source.name, source.classes, kept, source.__getitem__)


def _checked(source: Source) -> Callable[[int], tuple[int, str]]:
    return lambda place: (place, _fault(source[place]))


def _fault(item: Item) -> str:
    """The reason why an image cannot be read, or an empty string."""
    try:
        loaded_image(insisting(item).load()).load()
    except (DecodeError, OSError) as error:
        return str(error)
    return ""
