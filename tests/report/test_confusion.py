import msgspec
import pytest

from tests.report.pages import evaluation
from xception.report.confusion import MAX_PAIRS, heat_map, precisions, worst_pairs

WRONG = {(8, 1): 1, (9, 3): 2}


def test_rows_hold_the_counts_and_the_recall_of_their_class() -> None:
    rows = heat_map(evaluation(WRONG))
    assert [row.label for row in rows] == list("0123456789")
    assert [cell.count for cell in rows[9].cells] == [0, 0, 0, 2, 0, 0, 0, 0, 0, 34]
    assert rows[9].total == 36
    assert rows[9].recall == 34 / 36
    assert [cell.is_right for cell in rows[9].cells] == [False] * 9 + [True]


def test_colour_grows_with_the_root_of_the_share_of_the_row() -> None:
    counts = [cell.strength for cell in heat_map(evaluation({(0, 1): 9}))[0].cells[:3]]
    assert counts == [87, 50, 0]


def test_precision_divides_by_the_column_and_not_by_the_row() -> None:
    values = precisions(evaluation(WRONG))
    assert values[3] == 36 / 38
    assert values[9] == 1.0


def test_a_class_without_images_has_no_recall_and_one_never_predicted_no_precision() -> None:
    result = evaluation({(0, 1): 36}, labels=("a", "b"))
    assert precisions(result) == (None, 0.5)
    assert [row.recall for row in heat_map(result)] == [0.0, 1.0]
    nothing = msgspec.structs.replace(result, confusion=((0, 0), (0, 5)))
    assert heat_map(nothing)[0].recall is None


def test_the_worst_pairs_come_most_frequent_first_without_the_right_ones() -> None:
    pairs = worst_pairs(evaluation(WRONG))
    assert [(pair.label, pair.predicted, pair.count, pair.total) for pair in pairs] == [
        ("9", "3", 2, 36),
        ("8", "1", 1, 36),
    ]


def test_no_more_pairs_than_fit_the_eye() -> None:
    every = {(target, predicted): 1 for target in range(10) for predicted in range(10) if target != predicted}
    assert len(worst_pairs(evaluation(every))) == MAX_PAIRS < len(every)


def test_a_matrix_that_does_not_fit_the_labels_is_noticed() -> None:
    with pytest.raises(ValueError, match="zip"):
        heat_map(msgspec.structs.replace(evaluation(WRONG), labels=("only", "two")))
