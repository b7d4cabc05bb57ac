import pickle
from pathlib import Path

import numpy as np
import pytest

from xception.convert.readers import read_checkpoint
from xception.errors import InputError


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize("order", ["C", "F"])
def test_an_array_of_any_number_type_and_order_is_read(protocol: int, order: str, tmp_path: Path) -> None:
    array = np.arange(6).reshape(2, 3)
    arrays = {
        code: np.array(array, code, order=order) for code in ("f8", "f4", "f2", "i8", "i4", "i2", "i1", "u1", "?")
    }
    (tmp_path / "model").write_bytes(pickle.dumps(arrays, protocol))
    tensors = read_checkpoint(tmp_path / "model").groups[""]
    for code, expected in arrays.items():
        assert tensors[code].dtype == expected.dtype
        np.testing.assert_array_equal(tensors[code], expected)


def test_a_scalar_becomes_a_plain_value(tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(pickle.dumps({"a": np.ones(1), "best": np.float64(0.75), "n": np.int32(-3)}, 4))
    assert read_checkpoint(tmp_path / "model").metadata["values"] == {"best": 0.75, "n": -3}


def test_a_scalar_that_python_2_wrote_is_read(tmp_path: Path) -> None:
    """Its bytes were a text then."""
    scalar = (
        b"cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\n(U\x02f8K\x00K\x01tRU\x08"
        + np.float64(0.75).tobytes()
        + b"\x86R"
    )
    array = pickle.dumps(np.ones(1), 2)[2:-1]
    (tmp_path / "model").write_bytes(b"\x80\x02}(U\x04best" + scalar + b"U\x01a" + array + b"u.")
    checkpoint = read_checkpoint(tmp_path / "model")
    assert checkpoint.metadata["values"] == {"best": 0.75}
    assert checkpoint.groups[""]["a"].tolist() == [1]


@pytest.mark.parametrize("array", [np.array([None]), np.array(["text"]), np.zeros(1, "f4,f4"), np.zeros(1, "c8")])
def test_an_array_of_anything_else_is_no_weight(array: np.ndarray, tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(pickle.dumps({"a": array, "one": array[0], "w": np.ones(1)}, 4))
    checkpoint = read_checkpoint(tmp_path / "model")
    assert list(checkpoint.groups[""]) == ["w"]
    assert checkpoint.metadata["left_out"] == ["a", "one"]
    (tmp_path / "model").write_bytes(pickle.dumps({"a": array}, 4))
    with pytest.raises(InputError, match="holds no tensors by name"):
        read_checkpoint(tmp_path / "model")


def test_another_byte_order_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(pickle.dumps({"a": np.zeros(1, ">f4")}, 4))
    with pytest.raises(InputError, match="big endian"):
        read_checkpoint(tmp_path / "model")
