"""Photographs that carry EXIF, as each source's own loader gives them: `python -m parity.orientation` asked it."""

import io
import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from PIL import ExifTags, Image

from parity.libraries.loaders import LOADERS
from tests.support.samples import encoded, picture
from xception.convert.catalog import CATALOG
from xception.data import decode as decoding
from xception.data import pixels as resampling
from xception.data.decode import decode
from xception.data.pixels import Mode, pixels
from xception.preprocess import CenterCrop, Orientation, Preprocess, ShorterSide

LOADED: dict[str, dict[str, Any]] = json.loads((Path(__file__).parents[1] / "goldens" / "orientation.json").read_text())
"""The orientation that each loader gave all eight photographs, with the loader's version."""

LOADER_OF = {"timm": "timm", "gluon": "timm", "ppcls": "opencv", "mindcv": "mindspore", "mindspore": "mindspore"}
"""The loader of each source by the first part of its weights' names; of all others it is that of Keras."""

MODES: tuple[Mode, ...] = ("reference", "exact", "fast")


def photograph(orientation: int, width: int = 96, height: int = 64) -> bytes:
    image = picture(width, height)
    image.getexif()[ExifTags.Base.Orientation] = orientation
    return encoded(image, "JPEG", exif=image.getexif())


def preprocess(orientation: Orientation) -> Preprocess:
    crop = CenterCrop(width_px=32, height_px=30)
    return Preprocess(orientation=orientation, resize=ShorterSide(px=36), crop=crop)


def test_every_loader_was_asked() -> None:
    assert set(LOADED) == set(LOADERS)
    assert {row["orientation"] for row in LOADED.values()} == {"stored", "upright"}


@pytest.mark.parametrize("name", CATALOG)
def test_published_weights_heed_exif_where_their_sources_loader_does(name: str) -> None:
    source = name.partition("_")[0]
    assert CATALOG[name].preprocess.orientation == LOADED[LOADER_OF.get(source, "keras")]["orientation"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("with_libraries", [True, False])
def test_stored_photographs_are_left_as_they_lie_in_the_file(
    mode: Mode, orientation: int, with_libraries: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not with_libraries:
        for module in (decoding, resampling):
            monkeypatch.setattr(module, "optional", lambda name: None)
    stored, upright = preprocess("stored"), preprocess("upright")
    assert np.array_equal(pixels(photograph(orientation), stored, mode), pixels(photograph(1), upright, mode))
    same = np.array_equal(pixels(photograph(orientation), upright, mode), pixels(photograph(1), upright, mode))
    assert same == (orientation == 1)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_decoding_without_exif_is_pillows_own_opening(orientation: int) -> None:
    data = photograph(orientation)
    with Image.open(io.BytesIO(data)) as image:
        assert np.array_equal(np.asarray(decode(data, orientation="stored")), np.asarray(image))


def test_a_bundle_that_does_not_say_turns_photographs_upright() -> None:
    assert msgspec.json.decode(b"{}", type=Preprocess).orientation == "upright"
