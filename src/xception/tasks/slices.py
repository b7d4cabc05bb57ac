"""Accuracy of parts of a data set: images of one size, with or without colours, of one format, damaged or rotated."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from PIL import ExifTags, Image

from xception.data.decode import open_image
from xception.data.source import Item
from xception.intervals import wilson
from xception.pipeline.lane import Failure, Scored
from xception.tasks.evaluation import Slice

SIZES_PX = (32, 64, 128, 256, 512, 1024)
"""Bounds of the shorter side between which images are of one size."""

GRAY_MODES = frozenset({"1", "L", "LA", "La", "I", "I;16", "I;16L", "I;16B", "I;16N"})


class Traits(NamedTuple):
    """Properties of an image that the head of its file tells, in words."""

    size: str
    colours: str
    format: str
    orientation: str


class Slices:
    """Counts of right answers by the properties of the images."""

    def __init__(self) -> None:
        self._traits: dict[int, Traits] = {}
        self._counts: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])

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
        """Count the image at a place among the items; one of multi-label data is neither right nor wrong as a whole."""
        traits = self._traits.pop(place, None)
        if isinstance(outcome, Failure) or isinstance(outcome.item.target, tuple):
            return
        is_right = int(outcome.logits.argmax()) == outcome.item.target
        found = {} if traits is None else traits._asdict()
        for row in (found | {"damage": "damaged" if outcome.warning else "sound"}).items():
            self._counts[row][0] += 1
            self._counts[row][1] += is_right

    def rows(self) -> tuple[Slice, ...]:
        """The properties in which the images differ, with every value of each; the rarest value comes last."""
        values: dict[str, list[str]] = defaultdict(list)
        for name, value in self._counts:
            values[name].append(value)
        order = (*Traits._fields, "damage")
        return tuple(
            Slice(property=name, value=value, images=images, top1=wilson(right, images))
            for name in order
            if len(values[name]) > 1
            for value, (images, right) in sorted(
                ((value, self._counts[name, value]) for value in values[name]), key=lambda row: (-row[1][0], row[0])
            )
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
