from pathlib import Path

import numpy as np
import pytest

from xception.errors import InputError
from xception.interchange import mindspore
from xception.interchange.ascend import read_ascend_label_file
from xception.interchange.vendor_answers import Unreadable, VendorAnswer

SCORES = np.array([1.0, 3.0, 2.0], np.float32)


def test_results_come_back(tmp_path: Path) -> None:
    mindspore.write_mindspore_results(tmp_path, [("/d/a_1.JPEG", SCORES), ("/d/b.c.JPEG", SCORES[::-1])])
    assert sorted(path.name for path in (tmp_path / "result_Files").iterdir()) == ["a_1_0.bin", "b_0.bin"]
    first, second = mindspore.read_mindspore_results(tmp_path, 3)
    assert isinstance(first, VendorAnswer)
    assert isinstance(second, VendorAnswer)
    assert (first.path, first.rank(1), first.rank(0)) == ("a_1", 0, 2)
    assert second.rank(0) == 1


def test_another_output_of_the_network_is_no_result(tmp_path: Path) -> None:
    SCORES.tofile(tmp_path / "a_1.bin")
    SCORES[:2].tofile(tmp_path / "b_0.bin")
    other, cut = mindspore.read_mindspore_results(tmp_path, 3)
    assert other == Unreadable("a_1.bin", "is no STEM_0.bin")
    assert isinstance(cut, Unreadable)
    assert "8 bytes; expected 12" in cut.reason


def test_two_images_of_one_stem_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="share the stem"):
        mindspore.write_mindspore_results(tmp_path, [("/x/a.jpg", SCORES), ("/y/a.jpg", SCORES)])


def test_the_label_file_has_stems(tmp_path: Path) -> None:
    mindspore.write_mindspore_label_file(tmp_path / "label.txt", [("/d/a.JPEG", 7), ("b.JPEG", 0)])
    assert (tmp_path / "label.txt").read_text() == "a:7\nb:0\n"
    assert read_ascend_label_file(tmp_path / "label.txt") == {"a": 7, "b": 0}
