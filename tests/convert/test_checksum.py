import hashlib
from pathlib import Path

import pytest

from xception.convert import checksum
from xception.convert.checksum import CHUNK_BYTES, Digest, checksums
from xception.convert.readers.binary import load_file


@pytest.mark.parametrize("size", [1, CHUNK_BYTES, 2 * CHUNK_BYTES + 1])
def test_checksums_are_those_of_all_bytes(size: int) -> None:
    data = b"x" * size
    assert checksums(memoryview(data)) == {
        "md5": hashlib.md5(data).hexdigest(),
        "sha256": hashlib.sha256(data).hexdigest(),
    }


@pytest.mark.parametrize("digits", [8, 64])
def test_the_first_digits_of_a_checksum_suffice_and_others_do_not(tmp_path: Path, digits: int) -> None:
    (tmp_path / "file").write_bytes(b"x")
    assert Digest("sha256", hashlib.sha256(b"x").hexdigest()[:digits]).fits(tmp_path / "file")
    assert not Digest("sha256", hashlib.sha256(b"y").hexdigest()[:digits]).fits(tmp_path / "file")


def test_a_digest_names_its_kind() -> None:
    assert str(Digest("md5", "0a58e3b7")) == "md5:0a58e3b7"


def test_a_file_that_was_held_against_a_digest_is_not_hashed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file.partial"
    file.write_bytes(b"x")
    assert Digest("sha256", hashlib.sha256(b"x").hexdigest()).fits(file)
    expected = checksums(memoryview(b"x"))
    file = file.replace(tmp_path / "file")
    hashed: list[object] = []
    monkeypatch.setattr(checksum, "_hashes", lambda chunks, _: hashed.append(list(chunks)) or {"md5": "", "sha256": ""})
    assert load_file(file).checksums == expected
    assert hashed == []
    file.write_bytes(b"yy")
    assert load_file(file).checksums == {"md5": "", "sha256": ""}
    assert hashed == [[b"yy"]]
