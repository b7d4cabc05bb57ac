import io
import zipfile

import pytest

from xception.convert.readers.zips import Archive

MEMBERS = {"first": b"one", "folder/second": b"two and more"}


def written() -> Archive:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.comment = b"a comment with PK in it"
        for name, content in MEMBERS.items():
            archive.writestr(name, content)
    return Archive(memoryview(buffer.getvalue()))


def test_members_are_read_by_name() -> None:
    archive = written()
    assert archive.names == tuple(MEMBERS)
    assert {name: bytes(archive.read(name)) for name in archive.names} == MEMBERS


def test_an_archive_with_64_bit_sizes_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 2)
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)
    archive = written()
    assert {name: bytes(archive.read(name)) for name in archive.names} == MEMBERS
