from pathlib import Path

import msgspec
import numpy as np
import pytest

from xception.errors import InputError
from xception.intervals import mcnemar
from xception.tasks.image_results import ImageResult, result_file
from xception.tasks.scored_rows import compare_rows, evaluate_rows

NAMES = ("ant", "bee", "cat")


def row(key: str, target: int, predicted: int, *, logits: bool = True) -> ImageResult:
    values = tuple(float(value) for value in np.eye(3)[predicted] * 2)
    return ImageResult(
        key=key,
        label=NAMES[target],
        target=target,
        predicted=NAMES[predicted],
        score=0.5,
        labels=(NAMES[predicted],),
        indices=(predicted,),
        scores=(0.5,),
        logits=values if logits else None,
    )


def write(path: Path, rows: list[ImageResult]) -> Path:
    with result_file(path) as file:
        for each in rows:
            file.add(each)
    return path


ROWS = [row("a", 0, 0), row("b", 1, 0), row("c", 1, 1), ImageResult(key="d", label="ant", target=0, failure="gone")]


@pytest.mark.parametrize("form", ["parquet", "jsonl", "csv"])
def test_rows_with_logits_are_scored_in_full(form: str, tmp_path: Path) -> None:
    result = evaluate_rows(write(tmp_path / f"r.{form}", ROWS))
    assert (result.total, result.seen, result.failed) == (4, 3, 1)
    assert result.top1 is not None
    assert result.top1.value == pytest.approx(2 / 3)
    assert result.labels == ("ant", "bee", "#2")
    assert result.confusion == ((1, 0, 0), (1, 1, 0), (0, 0, 0))
    assert result.loss is not None
    assert [mistake.path for mistake in result.mistakes] == ["b"]
    assert [failure.reason for failure in result.failures] == ["gone"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([row("a", 0, 0, logits=False)], "has no logits; write them with --logits"),
        ([msgspec.structs.replace(row("a", 0, 0), target=None)], "has no true class"),
        ([], "holds no answers"),
    ],
)
def test_rows_that_cannot_be_scored_are_refused(rows: list[ImageResult], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        evaluate_rows(write(tmp_path / "r.jsonl", rows))


def test_two_files_are_compared_image_by_image(tmp_path: Path) -> None:
    others = [row("c", 1, 1), row("b", 1, 1), row("a", 0, 2), row("d", 0, 0)]
    found = compare_rows(write(tmp_path / "a.csv", ROWS), write(tmp_path / "b.parquet", others))
    assert (found.total, found.seen, found.failed) == (4, 3, 1)
    assert (found.both_right, found.first_only, found.second_only, found.both_wrong) == (1, 1, 1, 0)
    assert found.flips == ("a", "b")
    assert found.mcnemar_p == mcnemar(1, 1)


@pytest.mark.parametrize(
    "others",
    [
        ROWS[:3],
        [*ROWS, row("e", 0, 0)],
        [row("a", 2, 0), *ROWS[1:]],
        [msgspec.structs.replace(each, label=None) for each in ROWS],
    ],
)
def test_files_of_other_images_or_labels_are_refused(others: list[ImageResult], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected"):
        compare_rows(write(tmp_path / "a.jsonl", ROWS), write(tmp_path / "b.jsonl", others))
