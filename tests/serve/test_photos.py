"""Photos of strangers, looked at before they are decoded."""

import warnings

import pytest
from PIL import Image, PngImagePlugin

from tests.support.hostile_photos import bomb, tiled_tiff, worded_tiff, wordy_png
from tests.support.samples import encoded
from xception.errors import DecodeError
from xception.pipeline.prepare import Preparation
from xception.pipeline.preparing_process import PreparingProcess
from xception.preprocess import CenterCrop, Preprocess, ShorterSide
from xception.serve.photos import MAX_TEXT_CHARACTERS, RESIZED_COST, limit_decoders, min_pixels, photo_refusal

CROPPED = Preprocess(resize=ShorterSide(px=32), crop=CenterCrop(width_px=28, height_px=28))


@pytest.fixture
def _pillows_own_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow's limits, which come back after a test that changes them."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
    monkeypatch.setattr(PngImagePlugin, "MAX_TEXT_MEMORY", PngImagePlugin.MAX_TEXT_MEMORY)


@pytest.mark.parametrize("size", [(2, 4000), (4000, 2)])
def test_a_sliver_that_a_resize_would_make_large_is_refused_by_its_header(size: tuple[int, int]) -> None:
    sliver = encoded(Image.new("RGB", size))
    resized = 32 * 32 * 4000 // 2
    assert photo_refusal(sliver, CROPPED, RESIZED_COST * resized) is None
    refusal = photo_refusal(sliver, CROPPED, RESIZED_COST * resized - 1)
    assert refusal
    assert (refusal.status, "too elongated" in refusal.sentence) == (413, True)
    assert photo_refusal(sliver, Preprocess(crop=CROPPED.crop), 8000) is None  # which is not resized


def test_what_no_memory_would_hold_is_refused_by_its_header() -> None:
    refusal = photo_refusal(encoded(Image.new("RGB", (1, 140_000))), CROPPED, 10**12)
    assert refusal
    assert refusal.status == 413


def test_a_tile_that_is_larger_than_its_image_is_counted() -> None:
    assert photo_refusal(tiled_tiff(1024), CROPPED, 1024 * 1024) is None
    refusal = photo_refusal(tiled_tiff(1024), CROPPED, 1024 * 1024 - 1)
    assert refusal
    assert "tiles of 1,048,576 pixels" in refusal.sentence


def test_the_least_limit_of_pixels_lets_square_images_in() -> None:
    least = int(min_pixels(CROPPED))
    assert photo_refusal(encoded(Image.new("RGB", (64, 64))), CROPPED, least) is None
    assert photo_refusal(encoded(Image.new("RGB", (8, 8))), CROPPED, least) is None
    assert photo_refusal(encoded(Image.new("RGB", (8, 8))), CROPPED, RESIZED_COST * 32 * 32 - 1) is not None


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.usefixtures("_pillows_own_limits")
def test_the_services_own_limit_of_pixels_holds_beyond_pillows() -> None:
    limit_decoders(300_000_000)
    assert photo_refusal(bomb(17_000, 17_000), CROPPED, 300_000_000) is None
    refusal = photo_refusal(bomb(18_000, 18_000), CROPPED, 300_000_000)
    assert refusal
    assert "18000 x 18000" in refusal.sentence


@pytest.mark.usefixtures("_pillows_own_limits")
def test_texts_around_pixels_have_a_limit_in_every_process() -> None:
    content = wordy_png(2 * MAX_TEXT_CHARACTERS)
    way = Preparation(preprocess=CROPPED, mode="exact")
    process = PreparingProcess()
    try:
        assert process(content, way).levels.shape == (3, 28, 28)
        limit_decoders(10**6)
        with pytest.raises(DecodeError, match="text"):
            process(content, way)
        assert process(wordy_png(MAX_TEXT_CHARACTERS // 2), way).levels.shape == (3, 28, 28)
    finally:
        process.close()


def test_files_that_decoders_warn_of_are_what_the_test_of_the_log_takes_them_for() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        photo_refusal(worded_tiff(60_000), CROPPED, 10**6)
    assert any("60000" in str(warning.message) for warning in caught)
