import random
from collections.abc import Iterator

import pytest

from tests.support.samples import encoded, picture
from xception.data.damage import libjpeg_warning
from xception.data.decode import decode
from xception.errors import DecodeError

PHOTOS = [encoded(picture(320, 240, seed), "JPEG", quality=90) for seed in range(8)]


def damaged(data: bytes, other: bytes, rng: random.Random) -> Iterator[tuple[str, bytes]]:
    start = rng.randrange(len(data) // 4, len(data) - 2048)
    yield "sector zeroed", data[:start] + bytes(512) + data[start + 512 :]
    yield "bytes missing", data[:start] + data[start + 1024 :]
    yield "cut and closed", data[: len(data) // 2] + b"\xff\xd9"
    yield "end of another file", data[: len(data) // 2] + other[len(other) // 2 :]


CASES = [
    pytest.param(data, id=f"{kind} {number}")
    for number, photo in enumerate(PHOTOS)
    for kind, data in damaged(photo, PHOTOS[number - 1], random.Random(number))
]


def found(data: bytes) -> str:
    """The reason for which a damaged file is refused, or the warning of one that is decoded."""
    try:
        decode(data)
    except DecodeError as error:
        return str(error)
    return libjpeg_warning(data) or "nothing"


@pytest.mark.parametrize("data", CASES)
def test_damage_that_a_decoder_passes_over_is_told(data: bytes) -> None:
    assert "orrupt" in found(data)


def test_nearly_all_damage_is_passed_over_by_the_decoder() -> None:
    assert sum("Corrupt JPEG data" in found(case.values[0]) for case in CASES) >= len(CASES) - 2


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"quality": 10}, {"subsampling": 0}])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_sound_files_give_no_warning(mode: str, options: dict[str, object]) -> None:
    assert libjpeg_warning(encoded(picture(75, 33).convert(mode), "JPEG", **options)) is None


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff", encoded(picture()), PHOTOS[0] + b"behind the end"])
def test_other_files_give_none_either(data: bytes) -> None:
    assert libjpeg_warning(data) is None
