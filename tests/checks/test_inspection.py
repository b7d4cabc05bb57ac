import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.data import faulty
from tests.support.samples import encoded, picture
from xception.checks.inspection import inspect


def faults(data: bytes, name: str = "a") -> list[str]:
    return [fault for fault, _ in inspect(data, name).faults]


def traits(data: bytes, name: str = "a") -> list[str]:
    return [trait for trait, _ in inspect(data, name).traits]


SOUND = {
    "a.jpg": faulty.jpeg(0),
    "a.JPEG": encoded(picture(), "JPEG", progressive=True),
    "a.png": encoded(picture()),
    "a.bmp": encoded(picture(), "BMP"),
    "a.webp": encoded(picture(), "WEBP"),
    "a.tiff": encoded(picture(), "TIFF"),
    "a.ppm": encoded(picture(), "PPM"),
    "a.jp2": encoded(picture(), "JPEG2000"),
}


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_file_has_neither_faults_nor_traits(name: str) -> None:
    found = inspect(SOUND[name], name)
    assert (found.faults, found.traits) == ((), ())
    assert found.image is not None
    assert (found.image.size, found.mode) == (found.image.size, "RGB")


@pytest.mark.parametrize("name", SOUND)
@pytest.mark.parametrize("share", [0.5, 0.95])
def test_a_file_that_ends_early_is_found_in_every_format(name: str, share: float) -> None:
    found = inspect(faulty.cut(SOUND[name], share), name)
    assert found.image is None
    assert [fault for fault, _ in found.faults] in (["truncated"], ["corrupt"])


@pytest.mark.parametrize("missing", [1, 2, 12])
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "GIF", "WEBP"])
def test_the_last_bytes_are_missed_even_where_all_pixels_are_there(file_format: str, missing: int) -> None:
    data = encoded(picture(), file_format)
    assert faults(data) == []
    assert faults(data[:-missing]) == ["truncated"]


def test_what_follows_an_image_is_no_fault() -> None:
    assert faults(faulty.jpeg(0) + b"\0" * 64) == []
    assert faults(encoded(picture(), "GIF") + b"\0" * 64) == []


@pytest.mark.parametrize("data", [b"no image at all", b"<html>404</html>", b"\xff\xd8\xff\xe0 and no more"])
def test_what_is_no_image_is_corrupt_and_does_not_raise(data: bytes) -> None:
    assert faults(data) == ["corrupt"] or faults(data) == ["truncated"]


def test_nothing_is_an_empty_file() -> None:
    assert faults(b"") == ["empty"]


def test_a_changed_byte_in_a_png_is_found_by_its_checksum() -> None:
    data = encoded(picture(), pnginfo=comment())
    assert faults(data) == []
    assert faults(data.replace(b"by hand", b"by band")) == ["corrupt"]


def comment() -> PngInfo:
    info = PngInfo()
    info.add_text("made", "by hand")
    return info


def test_a_jpeg_that_was_cut_and_closed_again_ends_in_gray() -> None:
    found = inspect(faulty.closed_again(faulty.jpeg(1)), "a.jpg")
    assert [fault for fault, _ in found.faults] == ["blank_end"]
    assert found.image is not None


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_whose_rest_is_zeros_is_truncated(progressive: bool) -> None:
    data = faulty.cut(faulty.jpeg(1, progressive=progressive), 0.8)
    assert faults(data + bytes(5000)) == ["truncated"]


def test_a_progressive_jpeg_that_was_cut_and_closed_again_lacks_its_last_scans() -> None:
    found = inspect(faulty.closed_again(faulty.jpeg(0, progressive=True)), "a.jpg")
    assert found.faults == (("blank_end", "its last scans, which hold the details, are missing"),)


def test_a_gray_image_is_not_taken_for_a_cut_one() -> None:
    assert faults(encoded(Image.new("RGB", (40, 40), (128, 128, 128)), "JPEG")) == []


@pytest.mark.parametrize(
    ("data", "name", "expected"),
    [
        (faulty.jpeg(0), "a.png", ["wrong_extension"]),
        (encoded(picture()), "n01/a.JPEG", ["wrong_extension"]),
        (encoded(picture()), "shard/000.12", []),
        (faulty.turned(0), "a.jpg", ["exif_rotated"]),
        (encoded(picture(mode="CMYK"), "JPEG"), "a.jpg", ["cmyk"]),
        (faulty.sixteen_bit_rgb(0), "a.png", ["sixteen_bit"]),
        (faulty.sixteen_bit_gray(0), "a.png", ["sixteen_bit", "grayscale"]),
        (
            encoded(Image.fromarray(np.full((9, 9), 700, np.uint16)), "TIFF"),
            "a.tif",
            ["sixteen_bit", "grayscale"],
        ),
        (encoded(picture(mode="RGBA")), "a.png", ["transparent"]),
        (encoded(picture(mode="P")), "a.png", ["palette"]),
        (faulty.animated(0), "a.gif", ["palette", "animated"]),
        (encoded(picture(mode="L"), "JPEG"), "a.jpg", ["grayscale"]),
    ],
)
def test_what_programs_treat_differently_is_named(data: bytes, name: str, expected: list[str]) -> None:
    found = inspect(data, name)
    assert [trait for trait, _ in found.traits] == expected
    assert found.faults == ()
    assert found.image is not None


def test_an_upright_image_with_exif_data_is_not_turned() -> None:
    exif = Image.Exif()
    exif[0x0112] = 1
    assert traits(faulty.jpeg(0, exif=exif.tobytes()), "a.jpg") == []


def test_what_is_sound_and_not_decoded_is_no_damage(monkeypatch: pytest.MonkeyPatch) -> None:
    assert faults(encoded(Image.fromarray(np.zeros((9, 9), np.float32)), "TIFF")) == ["unknown_kind"]
    assert faults(encoded(Image.new("LAB", (9, 9)), "TIFF")) == ["unknown_kind"]
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert faults(encoded(picture())) == ["too_large"]


def test_a_sliver_is_named() -> None:
    assert traits(encoded(Image.new("L", (9000, 5)))) == ["sliver", "grayscale"]
    assert traits(encoded(Image.new("L", (900, 5)))) == ["grayscale"]
