import pytest
from PIL import Image

from tests.data import faulty
from tests.support.samples import encoded, picture
from xception.checks.jpeg import has_end, lacks_scans

WAYS: dict[str, dict[str, object]] = {
    "baseline": {},
    "progressive": {"progressive": True},
    "optimised": {"optimize": True},
    "restarts": {"restart_marker_blocks": 2},
    "no subsampling": {"subsampling": 0, "progressive": True},
}


def thumbnailed() -> bytes:
    """A file with another JPEG, end mark and all, in front of its image."""
    return faulty.jpeg(0, exif=b"Exif\0\0" + encoded(picture(16, 12), "JPEG"))


@pytest.mark.parametrize("way", WAYS)
def test_a_whole_file_ends_and_lacks_nothing(way: str) -> None:
    data = faulty.jpeg(0, **WAYS[way])
    assert has_end(data)
    assert not lacks_scans(data)
    assert not lacks_scans(encoded(picture(mode="L"), "JPEG", **WAYS[way]))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("share", [0.2, 0.6, 0.99])
def test_a_cut_file_has_no_end(way: str, share: float) -> None:
    data = faulty.jpeg(0, **WAYS[way])
    assert not has_end(faulty.cut(data, share))
    assert not has_end(faulty.cut(data, share) + bytes(5000))


def test_the_end_of_a_thumbnail_is_not_that_of_the_image() -> None:
    assert has_end(thumbnailed())
    assert not has_end(thumbnailed()[:-2])


@pytest.mark.parametrize("share", [0.3, 0.6])
def test_a_cut_progressive_file_that_was_closed_again_lacks_scans(share: float) -> None:
    data = encoded(picture(64, 64).resize((200, 160), Image.Resampling.BICUBIC), "JPEG", progressive=True, quality=95)
    assert not lacks_scans(data)
    assert lacks_scans(faulty.cut(data, share) + b"\xff\xd9")


@pytest.mark.parametrize(
    "data", [b"", b"\xff\xd8", b"\xff\xd8\xff\xda", b"\xff\xd8\xff\xc2\x00\x02\xff\xda\x00\x05\x01"]
)
def test_odd_bytes_end_nowhere_and_do_not_raise(data: bytes) -> None:
    assert not has_end(data)
    lacks_scans(data)
