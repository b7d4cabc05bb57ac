import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.convert.make_samples import SAMPLES, values, weights
from xception.convert.readers import read_checkpoint, tensorbundle

PREFIX = "tensorflow.ckpt-5"


@pytest.mark.parametrize("name", [PREFIX, f"{PREFIX}.index", f"{PREFIX}.data-00000-of-00001"])
def test_a_checkpoint_is_read_from_its_prefix_its_index_or_a_shard(name: str) -> None:
    checkpoint = read_checkpoint(SAMPLES / name)
    tensors = checkpoint.groups[""]
    assert checkpoint.container == "tf_bundle"
    for key, expected in weights().items():
        np.testing.assert_array_equal(tensors[key], expected)
    assert tensors["brain"].dtype == np.float32
    np.testing.assert_array_equal(tensors["brain"], values("brain", (3,)))
    assert (tensors["global_step"].shape, tensors["global_step"].item()) == ((), 5)


def test_what_is_no_number_is_named() -> None:
    assert read_checkpoint(SAMPLES / PREFIX).metadata == {"left_out": ["comment"]}


def test_an_index_is_told_by_its_content(tmp_path: Path) -> None:
    shutil.copy(SAMPLES / f"{PREFIX}.index", tmp_path / "renamed")
    shutil.copy(SAMPLES / f"{PREFIX}.data-00000-of-00001", tmp_path / "renamed.data-00000-of-00001")
    assert "conv.weight" in read_checkpoint(tmp_path / "renamed").groups[""]


def test_a_checksum_of_the_data_may_stand_in_an_entry_and_is_not_needed() -> None:
    entry = tensorbundle._entry(memoryview(b"\x08\x01\x28\x04\x35\x01\x02\x03\x04\x39" + bytes(8)))
    assert entry == tensorbundle._Entry(dtype=1, shape=[], shard=0, offset=0, size=4, is_sliced=True)


def test_the_checksum_is_that_of_leveldb() -> None:
    # CRC-32C's check value 0xE3069283, rotated right by 15 bits, plus 0xA282EAD8.
    crc = 0xE3069283
    assert tensorbundle._masked_crc32c(memoryview(b"123456789")) == ((crc >> 15 | crc << 17) + 0xA282EAD8) % 2**32
