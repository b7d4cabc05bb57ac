import numpy as np
from PIL import Image
from sklearn.metrics import f1_score

from tests.support.samples import encoded, picture
from xception.data.source import Item
from xception.intervals import wilson
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


def test_of_multi_label_data_a_slice_has_its_exact_match_and_micro_f1() -> None:
    slices = Slices(threshold=0.6)
    answers = (((0, 1), (0, 1)), ((0,), (0, 2)), ((), ()), ((2,), ()))
    files = [encoded(picture(), form) for form in ("JPEG", "JPEG", "PNG", "PNG")]
    items = [Item(str(place), own, files[place].__bytes__) for place, (own, _) in enumerate(answers)]
    for place, (item, (_, taken)) in enumerate(zip(slices.watch(items), answers, strict=True)):
        item.load()
        logits = np.array([1.0 if index in taken else 0.3 for index in range(3)], np.float32)
        slices.add(place, Scored(item, logits, None))
    found_slices = {(row.property, row.value): row for row in slices.rows()}
    assert found_slices.keys() == {("format", "JPEG"), ("format", "PNG")}
    first, second = found_slices["format", "JPEG"], found_slices["format", "PNG"]
    assert first.top1 is None
    assert first.exact_match == wilson(1, 2)
    assert first.micro_f1 == f1_score([[1, 1, 0], [1, 0, 0]], [[1, 1, 0], [1, 0, 1]], average="micro")
    assert second.exact_match == wilson(1, 2)
    assert second.micro_f1 == 0


def test_failures_and_what_is_no_image_are_in_no_slice_of_an_image() -> None:
    slices = Slices()
    items = list(slices.watch([Item("a", 1, lambda: b"none"), Item("b", 1, lambda: encoded(picture()))]))
    for place, item in enumerate(items):
        item.load()
        slices.add(place, Failure(item.key, "broken"))
    assert slices.rows() == ()
    assert Slice(property="size", value="x", images=0, top1=None).top1 is None
