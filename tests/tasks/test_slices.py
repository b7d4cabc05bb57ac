import numpy as np
from PIL import Image

from tests.support.samples import encoded, picture
from xception.data.source import Item
from xception.pipeline.lane import Failure, Scored
from xception.tasks.evaluation import Slice
from xception.tasks.slices import Slices

EXIF = Image.Exif()
EXIF[0x112] = 6


def counted(*images: tuple[bytes | Image.Image, bool, str | None]) -> dict[tuple[str, str], tuple[int, float]]:
    """Images and fraction of right ones of each slice, given each image, if it is right, and its damage."""
    slices = Slices()
    items = [Item(str(place), 1, lambda content=content: content) for place, (content, _, _) in enumerate(images)]
    for place, (item, (_, is_right, damage)) in enumerate(zip(slices.watch(items), images, strict=True)):
        item.load()
        slices.add(place, Scored(item, np.array([0, 1 if is_right else -1]), damage))
    return {(row.property, row.value): (row.images, row.top1.value) for row in slices.rows() if row.top1}


def test_images_are_told_apart_by_size_colours_format_orientation_and_damage() -> None:
    found = counted(
        (encoded(picture(300, 200)), True, None),
        (encoded(picture(300, 20)), False, None),
        (encoded(picture(300, 200, mode="L"), "JPEG"), False, None),
        (encoded(picture(300, 200), "JPEG", exif=EXIF), True, "broken"),
    )
    assert found == {
        ("size", "128 to 255 px"): (3, 2 / 3),
        ("size", "below 32 px"): (1, 0),
        ("colours", "colour"): (3, 2 / 3),
        ("colours", "gray"): (1, 0),
        ("format", "JPEG"): (2, 0.5),
        ("format", "PNG"): (2, 0.5),
        ("orientation", "upright"): (3, 1 / 3),
        ("orientation", "rotated by EXIF"): (1, 1),
        ("damage", "sound"): (3, 1 / 3),
        ("damage", "damaged"): (1, 1),
    }


def test_what_all_images_have_in_common_is_no_slice() -> None:
    assert counted((picture(2000, 1100), True, None), (picture(2000, 1200), False, None)) == {}


def test_failures_and_what_is_no_image_are_in_no_slice_of_an_image() -> None:
    slices = Slices()
    items = list(slices.watch([Item("a", 1, lambda: b"none"), Item("b", 1, lambda: encoded(picture()))]))
    for place, item in enumerate(items):
        item.load()
        slices.add(place, Failure(item.key, "broken"))
    assert slices.rows() == ()
    assert Slice(property="size", value="x", images=0, top1=None).top1 is None
