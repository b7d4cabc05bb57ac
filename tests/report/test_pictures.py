import base64
import io
from typing import Literal

import numpy as np
import pytest
from PIL import Image

from tests.support.samples import labelled
from xception.data.source import Item, Items
from xception.preprocess import CenterCrop, Preprocess
from xception.report.pictures import THUMBNAIL_PX, overlay, png_uri, thumbnails


def opened(uri: str) -> Image.Image:
    head, _, content = uri.partition(",")
    assert head == "data:image/png;base64"
    return Image.open(io.BytesIO(base64.b64decode(content)))


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


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "CMYK", "1"])
def test_images_of_every_mode_become_rgb_thumbnails(mode: str) -> None:
    image = opened(png_uri(Image.new("RGB", (30, 60), "orange").convert(mode)))
    assert image.mode == "RGB"
    assert image.size == (THUMBNAIL_PX // 2, THUMBNAIL_PX)


def test_small_images_keep_their_hard_pixels_and_large_ones_are_smoothed() -> None:
    board = np.uint8(np.indices((400, 400)).sum(0) % 2 * 255)
    small, large = opened(png_uri(Image.fromarray(board[:8, :8]))), opened(png_uri(Image.fromarray(board)))
    assert set(np.unique(small)) == {0, 255}
    assert len(np.unique(large)) > 2


def test_colour_lies_where_the_evidence_is_and_the_rest_stays_grey() -> None:
    evidence = np.zeros((2, 2), np.float32)
    evidence[0, 1] = 1
    pixels = np.asarray(overlay(Image.new("L", (64, 64), 90), evidence)).astype(int)
    chroma = np.ptp(pixels, axis=2)
    assert chroma[10, -10] > 50
    assert chroma[-10, 10] == 0
    assert (pixels[-10, 10] == 90).all()


def test_the_range_of_a_class_map_does_not_matter() -> None:
    image, evidence = Image.new("RGB", (64, 48), "gray"), np.random.default_rng(0).random((3, 4))
    assert np.array_equal(overlay(image, evidence), overlay(image, 512 * evidence - 128))


def test_a_flat_class_map_colours_nothing() -> None:
    assert (np.asarray(overlay(Image.new("L", (9, 9), 70), np.full((3, 3), 5.0))) == 70).all()
