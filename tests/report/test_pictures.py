from typing import Literal

import pytest
from PIL import Image

from tests.support.samples import labelled
from xception.data.source import Item, Items
from xception.preprocess import CenterCrop, Preprocess
from xception.report.pictures import thumbnails
from xception.report.plots import THUMBNAIL_PX


def test_wanted_items_are_read_and_no_others() -> None:
    read: list[str] = []

    def item(name: str) -> Item:
        return Item(name, 0, lambda: read.append(name) or Image.new("RGB", (400, 200)))

    source = Items("some", ("a",), tuple(map(item, "abcab")))
    pictures = thumbnails(source, ["b", "a"])
    assert sorted(pictures) == sorted(read) == ["a", "b"]
    assert pictures["a"].size == (THUMBNAIL_PX, THUMBNAIL_PX // 2)


@pytest.mark.parametrize(("color", "seen"), [("rgb", (200, 100, 0)), ("bgr", (200, 100, 0)), ("gray", (118,) * 3)])
def test_pictures_are_shown_as_the_network_sees_them(
    color: Literal["rgb", "bgr", "gray"], seen: tuple[int, ...]
) -> None:
    image = Image.new("RGB", (40, 20), (200, 100, 0))
    image.paste((0, 0, 255), (0, 0, 5, 20))
    channels = 1 if color == "gray" else 3
    preprocess = Preprocess(
        color=color, crop=CenterCrop(width_px=10, height_px=20), mean=(0.5,) * channels, std=(0.5,) * channels
    )
    pictures = thumbnails(Items("some", ("a",), (Item("wide", 0, lambda: image),)), ["wide"], preprocess)
    assert pictures["wide"].size == (THUMBNAIL_PX // 2, THUMBNAIL_PX)
    assert pictures["wide"].getcolors() == [(THUMBNAIL_PX**2 // 2, seen)]


def test_what_cannot_be_read_any_more_is_left_out() -> None:
    def gone() -> bytes:
        raise OSError("gone")

    source = Items("some", ("a",), (*labelled(3, broken=(1,)), Item("gone", 0, gone)))
    assert sorted(thumbnails(source, ["000", "001", "gone", "absent"])) == ["000"]
