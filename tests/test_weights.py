from pathlib import Path

import numpy as np
import pytest

from xception.errors import InputError
from xception.weights import check_tensors, read_weights, weights_bytes

TENSORS = {"b": np.arange(6, dtype=np.float32).reshape(2, 3), "a": np.ones(4, np.float32)}


def test_tensors_come_back_as_they_were_written(tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(weights_bytes(TENSORS))
    read = read_weights(tmp_path / "w")
    assert sorted(read) == ["a", "b"]
    assert all(np.array_equal(read[name], TENSORS[name]) for name in TENSORS)


def test_equal_tensors_give_equal_bytes_whatever_their_order_and_memory_layout() -> None:
    reordered = {"a": TENSORS["a"], "b": np.asfortranarray(TENSORS["b"])}
    assert weights_bytes(reordered) == weights_bytes(TENSORS)
    assert weights_bytes({**TENSORS, "a": np.zeros(4, np.float32)}) != weights_bytes(TENSORS)


@pytest.mark.parametrize("length", [0, 4, 8, 60, -1])
def test_a_file_that_is_not_whole_is_refused(tmp_path: Path, length: int) -> None:
    (tmp_path / "w").write_bytes(weights_bytes(TENSORS)[:length])
    with pytest.raises(InputError, match="is not a whole safetensors file"):
        read_weights(tmp_path / "w")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        read_weights(tmp_path / "none")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        read_weights(tmp_path)


def test_fitting_tensors_pass() -> None:
    check_tensors(TENSORS, {"a": (4,), "b": (2, 3)})


def test_both_sides_of_a_mismatch_are_listed() -> None:
    with pytest.raises(
        InputError, match=r"missing c; not part of it a; of another shape b is \(2, 3\), expected \(3, 2\)"
    ):
        check_tensors(TENSORS, {"b": (3, 2), "c": (1,)})


def test_long_lists_are_cut_with_their_number() -> None:
    with pytest.raises(InputError, match="missing 0, 1, 2 and 7 more; not part of it none; of another shape none"):
        check_tensors({}, {str(index): (1,) for index in range(10)})
