"""Members of tar files, beside those that the standard library finds."""

import io
import struct
import tarfile

import pytest

from xception.data.tars import PlainMember, entries
from xception.errors import InputError

NAMES = ("a.jpg", "a.cls", "b/c d.jpg", "ä/ö.jpg", "./e//f.jpg", "g" * 99, "h" * 100, "j/" * 60 + "k.jpg")


def written(names: tuple[str, ...] = NAMES, *, form: int = tarfile.GNU_FORMAT, **facts: object) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
        for number, name in enumerate(names):
            member = tarfile.TarInfo(name)
            member.size = 700 * number
            for fact, value in facts.items():
                setattr(member, fact, value)
            tar.addfile(member, io.BytesIO(bytes(member.size)))
    return buffer.getvalue()


def found(data: bytes) -> list[tuple[str, int, int]]:
    return [(entry.name, entry.start, entry.length) for entry in entries(io.BytesIO(data), "t.tar")]


def by_the_library(data: bytes) -> list[tuple[str, int, int]]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return [(member.name, member.offset_data, member.size) for member in tar]


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("facts", [{}, {"mtime": 1e10}, {"uid": 0o7777777, "uname": "a" * 31, "mode": 0}])
def test_members_are_those_of_the_library(form: int, facts: dict[str, object]) -> None:
    if form == tarfile.USTAR_FORMAT:
        facts = {name: min(value, 1e9) if name == "mtime" else value for name, value in facts.items()}
    # The oldest form has no place for a name that cannot be cut in two.
    names = NAMES if form == tarfile.USTAR_FORMAT else (*NAMES, "i" * 101)
    data = written(names, form=form, **facts)
    assert found(data) == by_the_library(data)
    assert len(found(data)) == len(names)


def test_plain_members_are_not_left_to_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("a.jpg", "b/c.cls")
    data = written(names)

    def forbidden(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(tarfile.TarInfo, "frombuf", forbidden)
    headers = [data[:512], data[512:1024]]
    assert [PlainMember.frombuf(header, "utf-8", "strict").name for header in headers] == list(names)


def resealed(header: bytes, *, signed: bool = False) -> bytes:
    """A header with the checksum that its other bytes have."""
    plain = header[:148] + b" " * 8 + header[156:]
    total = sum(struct.unpack("512b" if signed else "512B", plain))
    return plain[:148] + f"{total:06o}\0 ".encode() + plain[156:]


@pytest.mark.parametrize(
    ("place", "field"),
    [
        (124, b"00000000000\0"),
        (124, b"         12 "),
        (124, b"000000000012"),
        (124, b"\x80" + bytes(10) + b"\x0a"),  # a binary number, as large files have
        (345, b"folder"),
        (156, b"\0"),
        (156, b"7"),
        (257, bytes(8)),  # as before POSIX
        (0, "é.jpg\0".encode("latin-1")),
    ],
)
def test_headers_of_other_programs_are_read_as_the_library_reads_them(place: int, field: bytes) -> None:
    data = written(("a.jpg", "b.jpg"))
    header = data[:512]
    header = resealed(header[:place] + field + header[place + len(field) :])
    assert_alike(header + data[512:])


def test_a_checksum_of_signed_bytes_is_one() -> None:
    data = written(("a.jpg",))
    assert_alike(resealed("é.jpg\0".encode() + data[7:512], signed=True) + data[512:])


def assert_alike(data: bytes) -> None:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        first = tar.next()
    assert first
    ours = PlainMember.frombuf(data[:512], tarfile.ENCODING, "surrogateescape")
    assert (ours.name, ours.size, ours.isreg()) == (first.name, first.size, first.isreg())


@pytest.mark.parametrize("place", [0, 5, 100, 125, 150, 300, 500])
def test_a_header_with_a_changed_byte_is_refused(place: int) -> None:
    data = bytearray(written(("a.jpg", "b.jpg")))
    data[place] ^= 1
    with pytest.raises(InputError, match=r"t\.tar"):
        found(bytes(data))


@pytest.mark.parametrize("length", [1, 150, 157, 400, 511])
def test_a_header_that_was_cut_is_refused(length: int) -> None:
    first = written(("a.jpg",))[:512]
    with pytest.raises(InputError, match=r"t\.tar"):
        found(first + written(("b.jpg",))[:length])
