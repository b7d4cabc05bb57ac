import json
from pathlib import Path

import numpy as np
import pytest

from tests.interchange.readers import read_ascend_input, read_info, read_summary
from xception.errors import InputError
from xception.interchange import ascend
from xception.interchange.ascend import InfoRow, Summary
from xception.interchange.vendor_answers import Unreadable, VendorAnswer

ROWS = [
    ("/data/n01/ILSVRC2012_val_00000001.JPEG", np.array([0.25, 3.0, -1e-9, 2.5], np.float32)),
    ("/data/n02/b.c.JPEG", np.array([4.0, 1.0, 3.0, 2.0], np.float32)),
]


def test_each_kind_of_result_that_is_written_comes_back(tmp_path: Path) -> None:
    ascend.write_ascend_results(tmp_path, ROWS)
    for kind in (ascend.SCORES, ascend.BINARY, ascend.CLASSES):
        text: ascend.TextMeaning | None = "classes" if kind == ascend.CLASSES else None
        answers = list(ascend.read_ascend_results(tmp_path / kind, 4, text))
        assert [answer.path for answer in answers] == ["ILSVRC2012_val_00000001", "b"]
        for answer, (_, scores) in zip(answers, ROWS, strict=True):
            assert isinstance(answer, VendorAnswer)
            assert [answer.rank(k) for k in range(4)] == np.argsort(np.argsort(-scores)).tolist()


def test_scores_come_back_bit_for_bit_as_text(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=100).astype(np.float32)
    ascend.write_ascend_results(tmp_path, [("/a.jpg", values)])
    (answer,) = ascend.read_ascend_results(tmp_path, 100)
    assert isinstance(answer, VendorAnswer)
    assert answer.scores is not None
    assert answer.scores.tobytes() == values.tobytes()


def result(
    folder: Path, text: str, meaning: ascend.TextMeaning | None = None, num_classes: int = 4
) -> VendorAnswer | Unreadable:
    (folder / "a_1.txt").write_text(text)
    (outcome,) = ascend.read_ascend_results(folder, num_classes, meaning)
    return outcome


@pytest.mark.parametrize("text", ["3 1 0 2 \n", "3 1\n"])
def test_texts_of_classes_are_read_best_first(text: str, tmp_path: Path) -> None:
    answer = result(tmp_path, text, "classes")
    assert isinstance(answer, VendorAnswer)
    assert answer.classes[:2] == (3, 1)
    assert not answer.background


def test_a_list_of_all_classes_and_one_more_counts_the_background(tmp_path: Path) -> None:
    answer = result(tmp_path, "4 0 1 2 3", "classes")
    assert isinstance(answer, VendorAnswer)
    assert (answer.background, answer.rank(3), answer.rank(0)) == (True, 0, 2)


@pytest.mark.parametrize("text", ["0 0 1 0", "3.0 1.0 0.0 2.0", "-3 1 0 2", "1e2 1 0 2", "45 12 3 7"])
def test_numbers_are_scores_if_nobody_says_otherwise(text: str, tmp_path: Path) -> None:
    answer = result(tmp_path, text)
    assert isinstance(answer, VendorAnswer)
    assert answer.scores is not None


SATURATED = {"a": "0 1", "b": "1 0", "c": "0.1 0.9", "d": "0.8 0.2"}
"""Probabilities of two classes as C++ prints them, where a whole number has no point."""


def folder_of_texts(folder: Path, texts: dict[str, str]) -> Path:
    for name, text in texts.items():
        (folder / f"{name}_1.txt").write_text(text)
    return folder


def test_all_texts_of_a_folder_mean_the_same(tmp_path: Path) -> None:
    answers = list(ascend.read_ascend_results(folder_of_texts(tmp_path, SATURATED), 2))
    assert [answer.best for answer in answers if isinstance(answer, VendorAnswer)] == [1, 0, 1, 0]


def test_a_folder_that_may_mean_either_is_refused_with_both_readings(tmp_path: Path) -> None:
    folder_of_texts(tmp_path, {"a": "0 1", "b": "1 0"})
    with pytest.raises(InputError, match=r"a_1\.txt the best class is 1 if they are scores, and 0 if .* --text scores"):
        list(ascend.read_ascend_results(tmp_path, 2))
    scores, classes = (list(ascend.read_ascend_results(tmp_path, 2, text)) for text in ("scores", "classes"))
    assert [answer.best for answer in scores if isinstance(answer, VendorAnswer)] == [1, 0]
    assert [answer.best for answer in classes if isinstance(answer, VendorAnswer)] == [0, 1]


def test_a_folder_of_scores_and_classes_is_refused(tmp_path: Path) -> None:
    folder_of_texts(tmp_path, {"a": "0.1 0.2 0.3 0.4", "b": "3 1"})
    with pytest.raises(InputError, match=r"b_1\.txt holds class indices, best first, or 2 values.* --text classes"):
        list(ascend.read_ascend_results(tmp_path, 4))


@pytest.mark.parametrize(
    ("text", "meaning", "reason"),
    [
        ("", None, "0 lines"),
        ("\n", None, "0 lines"),
        ("0.1 0.2 0.3 0.4\n0.1 0.2 0.3 0.4\n", None, "2 lines"),
        ("0.1 0.2", None, "holds 2 values"),
        ("0.1 0.2 0.3 abc", None, "no number"),
        ("3 1", "scores", "holds 2 values"),
        ("4 1", "classes", "names class 4"),
        ("5 0 1 2 3", "classes", "names class 5"),
        ("0.1 0.2 0.3 0.4", "classes", "other things than class indices"),
    ],
)
def test_a_broken_text_says_why(text: str, meaning: ascend.TextMeaning | None, reason: str, tmp_path: Path) -> None:
    outcome = result(tmp_path, text, meaning)
    assert isinstance(outcome, Unreadable)
    assert reason in outcome.reason


def test_other_files_come_under_their_own_names(tmp_path: Path) -> None:
    for name in ("sumary.json", "noindex.txt", "a_1.npy"):
        (tmp_path / name).write_text("{}")
    outcomes = list(ascend.read_ascend_results(tmp_path, 4))
    assert [outcome.path for outcome in outcomes] == ["a_1.npy", "noindex.txt", "sumary.json"]
    assert all(isinstance(outcome, Unreadable) for outcome in outcomes)


def test_two_images_of_one_stem_would_overwrite_each_other(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="share the stem 'a'"):
        ascend.write_ascend_results(tmp_path, [("/x/a.jpg", ROWS[0][1]), ("/y/a.png", ROWS[0][1])])


def test_label_files_of_both_forms_are_read(tmp_path: Path) -> None:
    (tmp_path / "l.txt").write_text("ILSVRC2012_val_00000001.JPEG 65\r\nwith space.JPEG\t7\nstem:12\n\na:b.jpg: 3\n")
    assert ascend.read_ascend_label_file(tmp_path / "l.txt") == {
        "ILSVRC2012_val_00000001.JPEG": 65,
        "with space.JPEG": 7,
        "stem": 12,
        "a:b.jpg": 3,
    }


@pytest.mark.parametrize("text", ["a.jpg\n", "a.jpg x\n", "a.jpg -1\n", "5\n", "a.jpg 1\na.jpg 2\n", ""])
def test_a_label_file_of_another_form_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "l.txt").write_text(text)
    with pytest.raises(InputError, match=r"l\.txt"):
        ascend.read_ascend_label_file(tmp_path / "l.txt")


def test_a_label_file_comes_back(tmp_path: Path) -> None:
    ascend.write_ascend_label_file(tmp_path / "l.txt", [("a.JPEG", 3), ("b.JPEG", 0)])
    assert (tmp_path / "l.txt").read_text() == "a.JPEG 3\nb.JPEG 0\n"
    with pytest.raises(InputError, match="space"):
        ascend.write_ascend_label_file(tmp_path / "l.txt", [("a b.JPEG", 3)])


def test_inputs_come_back(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).normal(size=(3, 5, 4)).astype(np.float32)
    ascend.write_ascend_input(tmp_path / "a.bin", pixels)
    assert (tmp_path / "a.bin").stat().st_size == 4 * pixels.size
    assert np.array_equal(read_ascend_input(tmp_path / "a.bin", (3, 5, 4)), pixels)


def test_an_info_file_comes_back(tmp_path: Path) -> None:
    rows = [InfoRow("inputs/a.bin", 299, 299), InfoRow("in puts/b.bin", 299, 320)]
    ascend.write_info(tmp_path / "x.info", rows)
    assert (tmp_path / "x.info").read_text().splitlines()[0] == "0 inputs/a.bin 299 299"
    assert read_info(tmp_path / "x.info") == rows


def test_a_summary_has_strings_alone_and_comes_back(tmp_path: Path) -> None:
    summary = Summary(images=50000, classes=1000, accuracies=(0.7835, 0.8658, 0.9021, 0.925, 0.9431))
    (tmp_path / "result.json").write_bytes(ascend.summary_bytes(summary))
    document = json.loads((tmp_path / "result.json").read_text())
    assert document["title"] == "Overall statistical evaluation"
    assert [pair["value"] for pair in document["value"]] == [
        "50000",
        "1000",
        "78.35%",
        "86.58%",
        "90.21%",
        "92.5%",
        "94.31%",
    ]
    back = read_summary(tmp_path / "result.json")
    assert back.images == 50000
    assert back.accuracies == pytest.approx(summary.accuracies)
