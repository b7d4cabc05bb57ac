from pathlib import Path

import numpy as np
import pytest

from tests.convert.make_samples import SAMPLES, values, weights
from xception.convert.readers import read_checkpoint
from xception.errors import InputError


@pytest.mark.parametrize("name", ["mindspore.ckpt", "mindspore_crc.ckpt"])
def test_parameters_are_read_in_order_with_and_without_a_checksum(name: str) -> None:
    checkpoint = read_checkpoint(SAMPLES / name)
    tensors = checkpoint.groups[""]
    assert checkpoint.container == "mindspore_ckpt"
    assert list(tensors)[:5] == [*weights(), "half", "step"]
    for key, expected in weights().items():
        np.testing.assert_array_equal(tensors[key], expected)
    assert tensors["half"].dtype == np.float16
    np.testing.assert_array_equal(tensors["half"], values("half", (3,)))
    assert (tensors["step"].shape, tensors["step"].item()) == ((), 5)


def test_what_is_no_number_is_named() -> None:
    assert read_checkpoint(SAMPLES / "mindspore.ckpt").metadata == {"left_out": ["comment"]}


def test_an_encrypted_file_is_refused_with_the_way_out() -> None:
    with pytest.raises(InputError, match=r"it is encrypted; load it with its key \(dec_key\) in MindSpore"):
        read_checkpoint(SAMPLES / "mindspore_encrypted.ckpt")


def message(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2, len(content)]) + content


@pytest.mark.parametrize("dims", [b"\x08\x04\x08\x02", message(1, b"\x04\x02")])
def test_a_tensor_in_pieces_is_put_together_and_packed_dims_are_understood(dims: bytes, tmp_path: Path) -> None:
    array = np.arange(8, dtype="<i2")
    pieces = [
        message(1, message(1, b"a") + message(2, dims + message(2, b"Int16") + message(3, half.tobytes())))
        for half in np.split(array, 2)
    ]
    (tmp_path / "model.ckpt").write_bytes(b"".join(pieces))
    np.testing.assert_array_equal(read_checkpoint(tmp_path / "model.ckpt").groups[""]["a"], array.reshape(4, 2))


def test_brain_floats_are_widened(tmp_path: Path) -> None:
    tensor = b"\x08\x02" + message(2, b"BFloat16") + message(3, b"\xc0\x3f\x40\xc0")
    (tmp_path / "model.ckpt").write_bytes(message(1, message(1, b"a") + message(2, tensor)))
    array = read_checkpoint(tmp_path / "model.ckpt").groups[""]["a"]
    assert array.dtype == np.float32
    assert array.tolist() == [1.5, -3.0]
