"""Paths that are no readable file, and files that are no checkpoint."""

import os
from pathlib import Path

import numpy as np
import pytest

from xception.convert.readers import read_checkpoint
from xception.errors import InputError

SAMPLES = Path(__file__).parents[1] / "convert" / "samples"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nothing cannot be read \(No such file or directory\)"):
        read_checkpoint(tmp_path / "nothing")


def test_an_empty_file_is_refused(refused) -> None:
    refused(b"", "is empty")


def test_a_pipe_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="it is a pipe, where a regular file is expected"):
        read_checkpoint(tmp_path / "pipe")


def test_a_device_is_refused() -> None:
    with pytest.raises(
        InputError, match=r"/dev/zero cannot be read \(it is a device, where a regular file is expected\)"
    ):
        read_checkpoint(Path("/dev/zero"))


def test_a_link_to_nowhere_and_a_link_to_itself_are_refused(tmp_path: Path) -> None:
    (tmp_path / "nowhere").symlink_to(tmp_path / "nothing")
    (tmp_path / "itself").symlink_to(tmp_path / "itself")
    for name in ("nowhere", "itself"):
        with pytest.raises(InputError, match="cannot be read"):
            read_checkpoint(tmp_path / name)


def test_an_impossible_name_is_refused() -> None:
    with pytest.raises(InputError, match="File name too long"):
        read_checkpoint(Path("x" * 300))


@pytest.mark.parametrize("content", [b"x", b"\x7fELF" + bytes(100), b"\xca\xfe\xba\xbe" * 20])
def test_a_file_of_another_kind_is_shown_by_its_first_bytes(content: bytes, refused) -> None:
    refused(content, f"begins with the bytes {content[:8].hex(' ')}, expected a zip archive of torch or Keras")


@pytest.mark.parametrize("seed", range(20))
def test_noise_behind_any_signature_is_refused(seed: int, refused) -> None:
    rng = np.random.default_rng(seed)
    for signature in (b"PK\x03\x04", b"\x89HDF\r\n\x1a\n", b"\x80\x02", b"\n", b"\x40\0\0\0\0\0\0\0{"):
        refused(signature + rng.bytes(1000), "cannot be read as")


@pytest.mark.parametrize("sample", sorted(path.name for path in SAMPLES.iterdir() if ".data-" not in path.name))
def test_a_sample_cut_anywhere_is_refused_or_read(sample: str, tmp_path: Path) -> None:
    """Only MindSpore's can be read then: cut between two tensors, nothing in it tells that there were more."""
    content = (SAMPLES / sample).read_bytes()
    path = tmp_path / sample
    for size in np.linspace(1, len(content) - 1, 150, dtype=int):
        path.write_bytes(content[:size])
        try:
            groups = read_checkpoint(path).groups
        except InputError as error:
            assert str(path) in str(error)
        else:
            assert sample.startswith("mindspore")
            assert any(groups.values())
