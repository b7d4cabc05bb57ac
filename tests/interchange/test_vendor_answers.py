from pathlib import Path

import numpy as np
import pytest

from xception.errors import InputError
from xception.interchange.vendor_answers import (
    Unreadable,
    VendorAnswer,
    from_scores,
    read_lines,
    read_raw,
    result_files,
)


def test_the_rank_of_a_class_counts_those_before_it() -> None:
    answer = VendorAnswer("a", scores=np.array([0.1, 0.7, 0.2], np.float32))
    assert [answer.rank(target) for target in range(3)] == [2, 0, 1]
    assert answer.depth == 3


def test_a_background_class_in_front_shifts_the_others_and_competes_with_them() -> None:
    answer = from_scores("a", np.array([0.5, 0.1, 0.4], np.float32), 2)
    assert isinstance(answer, VendorAnswer)
    assert (answer.background, answer.rank(0), answer.rank(1)) == (True, 2, 1)


def test_ties_go_to_the_lower_index() -> None:
    answer = VendorAnswer("a", scores=np.zeros(3, np.float32))
    assert [answer.rank(target) for target in range(3)] == [0, 1, 2]


def test_a_class_that_is_not_named_comes_behind_those_that_are() -> None:
    answer = VendorAnswer("a", classes=(4, 2))
    assert [answer.rank(target) for target in (4, 2, 0)] == [0, 1, 2]
    assert answer.depth == 2


@pytest.mark.parametrize("size", [0, 3, 6])
def test_another_number_of_values_is_no_answer(size: int) -> None:
    outcome = from_scores("a", np.zeros(size, np.float32), 4)
    assert outcome == Unreadable("a", f"holds {size} values; expected 4, or one more with a background class")


@pytest.mark.parametrize("count", [4, 5])
def test_raw_scores_come_back(count: int, tmp_path: Path) -> None:
    values = np.arange(count, dtype=np.float32)
    values.tofile(tmp_path / "a_1.bin")
    answer = read_raw(tmp_path / "a_1.bin", "a", 4)
    assert isinstance(answer, VendorAnswer)
    assert answer.scores is not None
    assert answer.scores.tolist() == values.tolist()
    assert answer.background == (count == 5)


@pytest.mark.parametrize("content", [b"", b"123", bytes(15), bytes(17), bytes(24)])
def test_a_raw_file_of_another_size_is_named_with_the_sizes_expected(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a_1.bin").write_bytes(content)
    outcome = read_raw(tmp_path / "a_1.bin", "a", 4)
    assert isinstance(outcome, Unreadable)
    assert f"a_1.bin has {len(content)} bytes; expected 16" in outcome.reason


def test_a_raw_file_that_cannot_be_read_is_no_answer(tmp_path: Path) -> None:
    outcome = read_raw(tmp_path / "none_1.bin", "none", 4)
    assert isinstance(outcome, Unreadable)
    assert "No such file" in outcome.reason


@pytest.mark.parametrize("make", [False, True])
def test_a_folder_without_files_holds_no_results(make: bool, tmp_path: Path) -> None:
    folder = tmp_path / "results"
    if make:
        (folder / "deeper").mkdir(parents=True)
    with pytest.raises(InputError, match="results"):
        result_files(folder)


def test_a_text_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="cannot read the datalist"):
        list(read_lines(tmp_path / "a.txt", "datalist"))


def test_a_byte_order_mark_and_windows_line_ends_are_no_part_of_a_line(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("\ufeffone\r\n\r\ntwo\r\n".encode())
    assert list(read_lines(tmp_path / "a.txt", "list")) == [(1, "one"), (3, "two")]
