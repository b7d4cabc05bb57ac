import io

import pytest
from PIL import Image

from tests.support.samples import encoded, picture
from xception.data.jpeg import JpegHeader, plain_header

ORDINARY = encoded(picture(), "JPEG")


def with_segment(marker: int, content: bytes) -> bytes:
    length = (len(content) + 2).to_bytes(2, "big")
    return ORDINARY[:2] + bytes((0xFF, marker)) + length + content + ORDINARY[2:]


@pytest.mark.parametrize(
    "file",
    [
        ORDINARY,
        encoded(picture(mode="L"), "JPEG"),
        encoded(picture(), "JPEG", progressive=True),
        encoded(picture(), "JPEG", keep_rgb=True),
        encoded(picture(), "JPEG", icc_profile=b"profile", comment=b"a remark"),
    ],
)
def test_the_header_of_an_ordinary_file_is_what_pillow_reads(file: bytes) -> None:
    image = Image.open(io.BytesIO(file))
    assert plain_header(file) == JpegHeader(image.size, image.mode)


@pytest.mark.parametrize(
    "file",
    [
        encoded(picture(), "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\0\0"),
        with_segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x tiff:Orientation='6'/>"),
        with_segment(0xE2, b"MPF\0II*\0\x08\0\0\0\0\0"),
        encoded(picture(mode="CMYK"), "JPEG"),
        encoded(picture()),
        ORDINARY[:100],
        ORDINARY[:2] + b"\xff" + ORDINARY[2:],
        b"",
    ],
    ids=["EXIF", "XMP", "MPF", "CMYK", "PNG", "cut off", "filled", "empty"],
)
def test_whatever_may_mean_more_is_left_to_pillow(file: bytes) -> None:
    assert plain_header(file) is None


def test_an_image_of_which_pillow_would_warn_is_left_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40 * 30 - 1)
    assert plain_header(ORDINARY) is None
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40 * 30)
    assert plain_header(ORDINARY) is not None
