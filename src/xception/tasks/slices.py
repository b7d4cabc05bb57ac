"""Accuracy of parts of a data set: images of one size, with or without colours, of one format, damaged or rotated."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from PIL import ExifTags, Image

from xception.data.decode import open_image
from xception.data.source import Item
from xception.intervals import wilson
from xception.pipeline.lane import Failure, Scored
from xception.tasks.evaluation import Slice
from xception.tasks.label_sets import DEFAULT_THRESHOLD, has_classes, takes_classes

SIZES_PX = (32, 64, 128, 256, 512, 1024)
"""Bounds of the shorter side between which images are of one size."""

GRAY_MODES = frozenset({"1", "L", "LA", "La", "I", "I;16", "I;16L", "I;16B", "I;16N"})


class Traits(NamedTuple):
    """Properties of an image that the head of its file tells, in words."""

    size: str
    colours: str
    format: str
    orientation: str


@dataclass
class SliceCounts:
    """The answers to the images of a slice."""

    are_sets: bool = False
    """Each image may have several classes."""
    images: int = 0
    right: int = 0
    """Images whose class is right; of multi-label data those of which all classes are right and no other was taken."""
    both: int = 0
    """Decisions of multi-label data for a class that the image has and is taken to have."""
    either: int = 0
    """True classes of all images, and those that they are taken to have, counted together."""

    def add(self, outcome: Scored, threshold: float) -> None:
        """Count an image."""
        own, logits = outcome.item.target, outcome.logits
        self.images += 1
        if not isinstance(own, tuple):
            self.right += int(logits.argmax()) == own
            return
        has, taken = has_classes(own, len(logits)), takes_classes(logits, threshold)
        self.are_sets = True
        self.right += bool((has == taken).all())
        self.both += int((has & taken).sum())
        self.either += int(has.sum() + taken.sum())

    def slice(self, name: str, value: str) -> Slice:
        """The figures of the images whose property `name` has this value."""
        right = wilson(self.right, self.images)
        return Slice(
            property=name,
            value=value,
            images=self.images,
            top1=None if self.are_sets else right,
            exact_match=right if self.are_sets else None,
            micro_f1=2 * self.both / self.either if self.either else None,
        )


class Slices:
    """Counts of right answers by the properties of the images.

    Args:
        threshold: of multi-label data, the probability from which on an image is taken to have a class.
    """

    def __init__(self, threshold: float = DEFAULT_THRESHOLD) -> None:
        self._threshold = threshold
        self._traits: dict[int, Traits] = {}
        self._counts: dict[tuple[str, str], SliceCounts] = defaultdict(SliceCounts)

    def watch(self, items: Iterable[Item]) -> Iterator[Item]:
        """The same items, whose properties are noted while they are loaded."""
        return (Item(item.key, item.target, self._watched(place, item.load)) for place, item in enumerate(items))

    def _watched(self, place: int, load: Callable[[], bytes | Image.Image]) -> Callable[[], bytes | Image.Image]:
        def watched() -> bytes | Image.Image:
            content = load()
            traits = _traits(content)
            if traits:
                self._traits[place] = traits
            return content

        return watched

    def add(self, place: int, outcome: Scored | Failure) -> None:
        """Count the image at a place among the items; one that failed is in no slice."""
        traits = self._traits.pop(place, None)
        if isinstance(outcome, Failure):
            return
        found = {} if traits is None else traits._asdict()
        for row in (found | {"damage": "damaged" if outcome.warning else "sound"}).items():
            self._counts[row].add(outcome, self._threshold)

    def rows(self) -> tuple[Slice, ...]:
        """The properties in which the images differ, with every value of each; the rarest value comes last."""
        values: dict[str, list[str]] = defaultdict(list)
        for name, value in sorted(self._counts, key=lambda row: (-self._counts[row].images, row)):
            values[name].append(value)
        order = (*Traits._fields, "damage")
        return tuple(
            self._counts[name, value].slice(name, value)
            for name in order
            if len(values[name]) > 1
            for value in values[name]
        )


def _traits(content: bytes | Image.Image) -> Traits | None:
    """The properties of an image; None where its file cannot be read."""
    if isinstance(content, Image.Image):
        return _of_image(content)
    try:
        with open_image(content) as image:
            return _of_image(image)
    except Exception:  # of all kinds, as in decoding, which says what is wrong
        return None


def _of_image(image: Image.Image) -> Traits:
    turned = image.getexif().get(ExifTags.Base.Orientation, 1) in range(2, 9)
    return Traits(
        size=_size(min(image.size)),
        colours="gray" if image.mode in GRAY_MODES else "colour",
        format=image.format or "no file",
        orientation="rotated by EXIF" if turned else "upright",
    )


def _size(px: int) -> str:
    bound = next((bound for bound in SIZES_PX if px < bound), None)
    if bound is None:
        return f"from {SIZES_PX[-1]} px"
    below = max((low for low in SIZES_PX if low < bound), default=0)
    return f"{below} to {bound - 1} px" if below else f"below {bound} px"
