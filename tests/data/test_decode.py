import io
import random
import sys
from collections.abc import Callable
from types import SimpleNamespace
from warnings import catch_warnings

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from tests.support.samples import encoded, picture
from xception.data import decode as decoding
from xception.data.decode import allow_pixels, as_image, decode, loaded_image, photograph
from xception.data.pixels import pixels as pixels_of
from xception.errors import DecodeError, TooManyPixels, UsageError
from xception.extras import optional
from xception.preprocess import Preprocess

ORIENTATION = 0x0112
# What a camera that noted this orientation did to the upright picture.
STORED_AS: dict[int, Callable[[Image.Image], Image.Image]] = {
    1: lambda image: image,
    2: lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    3: lambda image: image.transpose(Image.Transpose.ROTATE_180),
    4: lambda image: image.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
    5: lambda image: image.transpose(Image.Transpose.TRANSPOSE),
    6: lambda image: image.transpose(Image.Transpose.ROTATE_90),
    7: lambda image: image.transpose(Image.Transpose.TRANSVERSE),
    8: lambda image: image.transpose(Image.Transpose.ROTATE_270),
}


def rgb(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("file_format", ["PNG", "BMP", "PPM", "TIFF", "GIF", "WEBP"])
def test_a_lossless_file_gives_its_pixels(file_format: str) -> None:
    options = {"lossless": True} if file_format == "WEBP" else {}
    assert np.array_equal(rgb(decode(encoded(picture(), file_format, **options))), rgb(picture()))


@pytest.mark.parametrize("orientation", STORED_AS)
@pytest.mark.parametrize("file_format", ["PNG", "JPEG"])
def test_every_orientation_gives_the_same_upright_picture(orientation: int, file_format: str) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    upright = picture(48, 32, seed=5)
    decoded = decode(encoded(STORED_AS[orientation](upright), file_format, exif=exif))
    assert decoded.size == upright.size
    tolerance = 0 if file_format == "PNG" else 40
    assert np.abs(rgb(decoded).astype(int) - rgb(upright))[4::8, 6::12].max() <= tolerance


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_every_mode_of_png_becomes_three_eight_bit_channels(mode: str) -> None:
    gray = picture(mode="L")
    image = Image.fromarray(np.asarray(gray).astype(np.uint16) * 257) if mode == "I;16" else gray.convert(mode)
    expected = np.asarray(gray.convert("1").convert("L") if mode == "1" else gray)
    pixels = Preprocess(mean=(0.0,) * 3, std=(1.0,) * 3, divisor=1.0)(decode(encoded(image)))
    assert np.array_equal(pixels, np.broadcast_to(expected, (3, *expected.shape)).astype(np.float32))


def test_sixteen_bits_are_scaled_and_not_clipped() -> None:
    values = np.array([[0, 128, 129, 257, 32768, 65278, 65535]], np.uint16)
    assert np.asarray(decode(encoded(Image.fromarray(values)))).tolist() == [[0, 0, 1, 1, 128, 254, 255]]


@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
def test_a_sixteen_bit_ramp_keeps_its_order(file_format: str) -> None:
    ramp = np.arange(0, 65536, 16, dtype=np.uint16).reshape(64, 64)
    decoded = np.asarray(decode(encoded(Image.fromarray(ramp), file_format))).ravel()
    assert (np.diff(decoded.astype(int)) >= 0).all()
    assert len(np.unique(decoded)) == 256


def test_thirty_two_bit_integers_within_sixteen_bits_are_scaled() -> None:
    values = Image.fromarray(np.array([[0, 65535]], np.int32))
    assert np.asarray(decode(encoded(values, "TIFF"))).tolist() == [[0, 255]]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.array([[0, 65536]], np.int32), "beyond 16 bits"),
        (np.array([[-1, 5]], np.int32), "beyond 16 bits"),
        (np.array([[0.0, 1.0]], np.float32), "floating-point pixels"),
    ],
)
def test_values_of_no_known_range_are_refused(values: np.ndarray, message: str) -> None:
    with pytest.raises(DecodeError, match=message):
        decode(encoded(Image.fromarray(values), "TIFF"))


@pytest.mark.parametrize("transparency", [None, 0, b"\x00\x80\xff"])
def test_a_palette_gives_its_colours_whatever_is_transparent(transparency: int | bytes | None) -> None:
    image = picture().quantize(16)
    options = {} if transparency is None else {"transparency": transparency}
    assert np.array_equal(rgb(decode(encoded(image, **options))), rgb(image))


def test_transparent_pixels_keep_their_stored_colour() -> None:
    image = picture(mode="RGBA")
    image.putalpha(0)
    assert np.array_equal(rgb(decode(encoded(image))), rgb(picture()))


def test_an_animation_gives_its_first_frame() -> None:
    frames = [picture(seed=seed) for seed in range(3)]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert Image.open(io.BytesIO(data)).n_frames == 3  # type: ignore[attr-defined]
    assert np.array_equal(rgb(decode(data)), rgb(frames[0]))


def test_four_printing_inks_become_their_colours() -> None:
    flat = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    assert np.abs(rgb(decode(encoded(flat, "JPEG"))).astype(int) - (255, 0, 0)).max() <= 6


def test_a_gray_jpeg_is_gray_in_all_channels() -> None:
    pixels = rgb(decode(encoded(picture(mode="L"), "JPEG")))
    assert (pixels == pixels[..., :1]).all()


def test_colours_without_a_conversion_are_refused() -> None:
    with pytest.raises(DecodeError, match="LAB"):
        decode(encoded(Image.new("LAB", (4, 4)), "TIFF"))


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_hundred_megapixels_are_decoded() -> None:
    data = encoded(Image.new("1", (10_000, 10_000), 1), compress_level=1)
    assert decode(data).size == (10_000, 10_000)


def test_where_pillows_warning_is_an_error_the_image_is_refused_for_its_size() -> None:
    data = encoded(Image.new("1", (10_000, 10_000)), compress_level=1)
    with catch_warnings(action="error"), pytest.raises(DecodeError, match="too many pixels"):
        decode(data)


def test_more_pixels_than_pillow_allows_are_refused() -> None:
    with pytest.raises(DecodeError, match="too many pixels"):
        decode(encoded(Image.new("1", (15_000, 15_000)), compress_level=1))


def heic() -> bytes:
    file = io.BytesIO()
    pillow_heif.from_pillow(picture(64, 48)).save(file, quality=90)
    return file.getvalue()


def test_a_phones_photo_is_decoded() -> None:
    image = decode(heic())
    assert image.size == (64, 48)
    assert np.abs(rgb(image).astype(int) - rgb(picture(64, 48))).mean() < 16


def test_a_phones_photo_says_which_package_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(DecodeError, match=r"a HEIC image: this needs the Python package 'pillow_heif'.*\[heic\]"):
        decode(heic())


def as_opened(image: Image.Image, orientation: int = 1) -> tuple[bytes, Image.Image]:
    """A file, and the image that a program gets of it."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(image, exif=exif)
    return data, Image.open(io.BytesIO(data))


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("way", ["upright", "stored"])
def test_an_image_that_a_program_opened_is_turned_as_its_file_is(orientation: int, way: str) -> None:
    data, opened = as_opened(picture(), orientation)
    assert loaded_image(opened, orientation=way) == decode(data, orientation=way)


@pytest.mark.parametrize("mode", ["I;16", "I", "P", "LA", "RGBA", "1", "CMYK"])
def test_an_image_of_any_mode_is_that_of_its_file(mode: str) -> None:
    image = picture(mode="L") if mode[0] == "I" else picture(mode=mode)
    if mode[0] == "I":
        image = Image.fromarray(np.asarray(image).astype(np.uint16 if mode == "I;16" else np.int32) * 200)
    data = encoded(image, "TIFF")
    own = loaded_image(Image.open(io.BytesIO(data))).convert("RGB")
    assert own == decode(data).convert("RGB")
    assert len(own.getcolors()) > 1


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (Image.new("RGB", (0, 5)), "the image has no pixels"),
        (Image.new("F", (5, 5)), "floating-point pixels have no known range"),
        (Image.open(io.BytesIO(encoded(picture(), "BMP")[:200])), "corrupt image"),
    ],
)
def test_an_image_without_sound_pixels_is_refused(image: Image.Image, words: str) -> None:
    with pytest.raises(DecodeError, match=words):
        loaded_image(image)


def test_an_empty_file_is_called_empty() -> None:
    with pytest.raises(DecodeError, match="the file is empty"):
        decode(b"")


@pytest.mark.parametrize(
    "data", [b"This is not an image.\n", b"\x00" * 100, b"\xff\xd8", b"GIF89a", b"\x89PNG\r\n\x1a\n"]
)
def test_what_is_no_image_is_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        decode(data)


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "GIF", "BMP", "WEBP"])
def test_a_truncated_file_is_refused_wherever_it_ends(file_format: str) -> None:
    data = encoded(picture(64, 48), file_format)
    for length in range(1, len(data) * 9 // 10, max(1, len(data) // 25)):
        with pytest.raises(DecodeError):
            decode(data[:length])


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF"])
@pytest.mark.filterwarnings("ignore")
def test_a_damaged_file_gives_pixels_or_a_decode_error(file_format: str) -> None:
    data = encoded(picture(64, 48), file_format)
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(150):
        damaged = bytearray(data)
        for position in rng.integers(0, len(data), 4):
            damaged[position] = rng.integers(0, 256)
        try:
            rgb(decode(bytes(damaged)))
        except DecodeError:
            refused += 1
    assert refused


def test_a_photo_comes_as_much_smaller_as_it_may_and_says_its_upright_size() -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    file = encoded(picture(160, 80), "JPEG", exif=exif)
    told: list[tuple[int, int]] = []
    for times, size in ((1, (80, 160)), (3, (40, 80)), (4, (20, 40)), (99, (10, 20))):
        assert decode(file, lambda upright, times=times: (told.append(upright), times)[1]).size == size
    assert set(told) == {(80, 160)}
    assert decode(encoded(picture(160, 80)), lambda _: 4).size == (160, 80)


def outcome(data: bytes, times: int = 1) -> tuple[object, ...]:
    """The pixels, or what was wrong."""
    try:
        image = decode(data, lambda _: times)
    except DecodeError as error:
        return (str(error),)
    return image.mode, image.size, image.tobytes()


def turbo_outcome(data: bytes, times: int = 1) -> tuple[object, ...] | None:
    """The pixels, or None where those are left to `decode`."""
    pixels = photograph(data, lambda _: times)
    if pixels is None:
        return None
    image = as_image(pixels)
    return image.mode, image.size, image.tobytes()


def photographs() -> list[bytes]:
    files = []
    for number, size in enumerate([(1, 1), (3, 17), (16, 16), (33, 50), (64, 47), (150, 131)]):
        for subsampling in (0, 1, 2, "4:1:1"):
            options = {"subsampling": subsampling, "progressive": number % 2 == 1, "quality": 30 + 10 * number}
            files += [encoded(picture(*size, seed=number), "JPEG", **options)]
        files += [encoded(picture(*size, mode="L"), "JPEG"), encoded(picture(*size), "JPEG", keep_rgb=True)]
        files += [encoded(picture(*size, mode="CMYK"), "JPEG"), encoded(picture(*size), "PNG")]
    return files


@pytest.mark.parametrize("times", [1, 2, 4, 8])
@pytest.mark.parametrize("libraries", [["simplejpeg"], ["simplejpeg", "nanoarrow"]])
def test_libjpeg_turbo_gives_the_pixels_that_pillow_gives(
    libraries: list[str], times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "optional", lambda name: optional(name) if name in libraries else None)
    outcomes = [turbo_outcome(file, times) for file in photographs()]
    for file, mine in zip(photographs(), outcomes, strict=True):
        assert mine in (None, outcome(file, times))
    assert any(mine is not None for mine in outcomes)


def test_an_image_of_rows_shares_the_memory_of_the_photograph() -> None:
    pixels = photograph(encoded(picture(), "JPEG"))
    assert pixels is not None
    rows = as_image(pixels[3:7])
    expected = 255 - pixels[3:7, :, :3]
    pixels ^= 255
    assert np.array_equal(np.asarray(rows), expected)


def test_libjpeg_turbo_gives_no_pixels_of_a_file_that_pillow_finds_broken() -> None:
    rng = random.Random(0)
    refused = 0
    for file in photographs() * 4:
        damaged = bytearray(file[: rng.choice([len(file), len(file) - 2, rng.randrange(1, len(file))])])
        damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        told = outcome(bytes(damaged))
        assert turbo_outcome(bytes(damaged)) in (None, told)
        refused += len(told) == 1
    assert refused > 50


def test_only_upright_photographs_are_decoded_without_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    ordinary, turned = encoded(picture(), "JPEG"), encoded(picture(), "JPEG", exif=exif)
    assert photograph(ordinary) is not None
    for other in (turned, encoded(picture()), encoded(picture(mode="CMYK"), "JPEG"), b""):
        assert photograph(other) is None

    def object_to(*arguments: object, **keywords: object) -> np.ndarray:
        raise ValueError("premature end of data segment")

    monkeypatch.setattr(decoding, "optional", lambda name: SimpleNamespace(decode_jpeg=object_to))
    assert photograph(ordinary) is None
    assert np.array_equal(pixels_of(ordinary, Preprocess()), Preprocess().resized(decode(ordinary)))
    monkeypatch.setattr(decoding, "optional", lambda name: None)
    assert photograph(ordinary) is None


def test_more_pixels_are_decoded_where_it_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100_000)
    data = encoded(Image.new("L", (1000, 1000)))
    with pytest.raises(TooManyPixels, match="XCEPTION_MAX_MEGAPIXELS"):
        decode(data)
    allow_pixels("2")
    assert decode(data).size == (1000, 1000)
    for wrong in ("0", "-1", "many", "1.5"):
        with pytest.raises(UsageError, match="XCEPTION_MAX_MEGAPIXELS is"):
            allow_pixels(wrong)
