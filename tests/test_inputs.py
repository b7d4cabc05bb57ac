import errno
import os
import socket
from pathlib import Path

import msgspec
import pytest

from xception import inputs
from xception.inputs import Limit, open_file, read_bytes, read_part, read_utf8

SMALL = Limit(10, "a small file")


def test_a_file_within_the_limit_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"0123456789")
    assert read_bytes(tmp_path / "file", SMALL) == b"0123456789"
    assert read_utf8(tmp_path / "file", SMALL) == "0123456789"


def test_a_larger_file_is_refused_with_the_limit(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"0123456789a")
    with pytest.raises(OSError) as error:
        read_bytes(tmp_path / "file", SMALL)
    assert error.value.strerror == "it is larger than 10 bytes, the limit for a small file"
    assert error.value.filename == str(tmp_path / "file")


def test_a_file_whose_size_says_nothing_is_read_up_to_the_limit() -> None:
    made_up = Path("/proc/self/status")
    assert b"VmPeak" in read_bytes(made_up, inputs.DOCUMENT_LIMIT)
    with pytest.raises(OSError, match="limit for a small file"):
        read_bytes(made_up, SMALL)


def test_a_file_that_becomes_shorter_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"0123")
    monkeypatch.setattr(inputs, "file_size", lambda _: 5)
    with pytest.raises(OSError, match="shorter while it was read: 4 of 5 bytes"):
        read_bytes(tmp_path / "file", SMALL)


def special(kind: str, folder: Path) -> Path:
    place = folder / "special"
    if kind == "pipe":
        os.mkfifo(place)
    if kind == "folder":
        place.mkdir()
    if kind == "socket":
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(place))
    if kind == "device":
        place.symlink_to("/dev/zero")
    return place


@pytest.mark.parametrize("kind", ["pipe", "folder", "socket", "device"])
def test_only_regular_files_are_opened_and_no_writer_is_waited_for(kind: str, tmp_path: Path) -> None:
    place = special(kind, tmp_path)
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(OSError) as error:
        read_bytes(place, SMALL)
    assert error.value.errno == {"folder": errno.EISDIR, "socket": errno.ENXIO}.get(kind, errno.EINVAL)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_link_is_followed_or_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "link").symlink_to("file")
    assert read_bytes(tmp_path / "link", SMALL) == b"x"
    with pytest.raises(OSError, match="it is a link"):
        open_file(tmp_path / "link", follow_link=False)
    assert read_bytes(tmp_path / "file", SMALL, follow_link=False) == b"x"


def test_a_name_with_nul_is_an_error_like_others() -> None:
    with pytest.raises(OSError, match="null byte"):
        open_file(Path("a\0b"))


def test_a_part_ends_where_the_file_does(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"0123456789")
    assert read_part(tmp_path / "file", 8, 1 << 60) == b"89"
    assert read_part(tmp_path / "file", 20, 5) == b""


@pytest.mark.parametrize("content", [b"[" * 200_000, b"\xff", b"{", b'{"a": 9}'])
def test_a_document_of_another_form_has_one_kind_of_error(content: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        inputs.parse_json(content, dict[str, str])
