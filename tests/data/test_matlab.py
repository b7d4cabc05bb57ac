"""Tables of MATLAB's files, held to SciPy's reader and damaged at random."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.io import loadmat, savemat

from tests.data.forms import SYNSETS
from xception.data import matlab
from xception.data.matlab import MatlabValue, read_structures
from xception.errors import InputError

ROWS = [
    (1, "n02119789", "kit fox, Vulpes macrotis", 0, np.zeros((1, 0)), 1300.0),
    (2, "n02100735", "Ångström", 70_000, np.arange(30.0), -1.5),
    (1000, "n1", "", 2**40, [1, 2], 0.25),
]
FIELDS = ("ILSVRC2012_ID", "WNID", "words", "num_children", "children", "weight")


def file_of(rows: list[tuple[object, ...]], **options: object) -> bytes:
    file = io.BytesIO()
    table = np.empty((len(rows), 1), [(name, "O") for name in FIELDS])
    table[:, 0] = rows
    savemat(file, {"other": [1, 2, 3], "text": "x", "synsets": table}, **options)
    return file.getvalue()


def as_scipy_reads(data: bytes) -> list[dict[str, object]]:
    found = loadmat(io.BytesIO(data), simplify_cells=True)["synsets"]
    return [found] if isinstance(found, dict) else list(found)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_numbers_and_texts_are_those_that_scipy_reads(compressed: bool, count: int) -> None:
    data = file_of(ROWS[:count], do_compression=compressed)
    ours, theirs = read_structures(data, "synsets"), as_scipy_reads(data)
    assert len(ours) == len(theirs) == count
    for mine, other in zip(ours, theirs, strict=True):
        assert list(mine) == list(FIELDS)
        assert mine.pop("children") is None
        assert mine == {name: other[name] if np.size(other[name]) else "" for name in mine}


@pytest.mark.parametrize("compressed", [False, True])
def test_a_file_that_was_cut_is_refused(compressed: bool) -> None:
    data = file_of(ROWS, do_compression=compressed)
    for length in (0, 50, 128, 130, 200, len(data) // 2, len(data) - 9):
        with pytest.raises(InputError, match="MATLAB file"):
            read_structures(data[:length], "synsets")


@given(st.data())
def test_a_damaged_file_gives_values_or_is_refused(data: st.DataObject) -> None:
    content = bytearray(SYNSETS)
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        rows = read_structures(bytes(content), "synsets")
    except InputError:
        return
    assert all(isinstance(value, MatlabValue) for row in rows for value in row.values())


def test_what_does_not_hold_the_table_is_refused() -> None:
    with pytest.raises(InputError, match="holds no structures called classes"):
        read_structures(file_of(ROWS), "classes")
    with pytest.raises(InputError, match="holds no structures called text"):
        read_structures(file_of(ROWS), "text")
    with pytest.raises(InputError, match="no MATLAB file of version 5"):
        read_structures(b"\x89HDF" * 100, "synsets")


def test_what_grows_without_bound_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matlab, "MAX_ELEMENT_BYTES", 100)
    with pytest.raises(InputError, match="a compressed element does not end"):
        read_structures(file_of(ROWS, do_compression=True), "synsets")
