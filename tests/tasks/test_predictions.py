import pickle
import sys

import pytest

from xception.errors import DecodeError, MissingExtra, UsageError
from xception.pipeline.lane import Failure
from xception.pipeline.prediction import Guess, Prediction
from xception.tasks.predictions import MAX_SHOWN_IMAGES, PREDICTION_COLUMNS, Predictions

CAT = Prediction(
    path="a.png",
    top=(
        Guess(label="<cat>", index=3, probability=0.75, logit=2.0),
        Guess(label="dog", index=0, probability=0.25, logit=0.9),
    ),
)
BROKEN = Failure("b.png", "the file is empty")


def test_predictions_are_a_list() -> None:
    predictions = Predictions([CAT, BROKEN])
    assert predictions == [CAT, BROKEN]
    assert (len(predictions), predictions[0], predictions.failures) == (2, CAT, [BROKEN])
    assert pickle.loads(pickle.dumps(predictions)) == predictions


def test_a_prediction_has_the_likeliest_class_and_so_has_a_single_one() -> None:
    assert (CAT.label, CAT.probability) == ("<cat>", 0.75)
    assert (Predictions([CAT]).label, Predictions([CAT]).probability) == ("<cat>", 0.75)


@pytest.mark.parametrize("count", [0, 2])
def test_several_images_have_no_common_label(count: int) -> None:
    with pytest.raises(UsageError, match=f"of {count} images; take one of them"):
        _ = Predictions([CAT] * count).label


def test_an_image_that_failed_has_its_reason_instead_of_a_label() -> None:
    with pytest.raises(DecodeError, match=r"b\.png has no label: the file is empty"):
        _ = Predictions([BROKEN]).label


def test_a_table_has_a_row_for_each_class_and_each_failure() -> None:
    table = Predictions([CAT, BROKEN]).to_pandas()
    assert tuple(table.columns) == PREDICTION_COLUMNS
    assert table["path"].tolist() == ["a.png", "a.png", "b.png"]
    assert table["label"].tolist()[:2] == ["<cat>", "dog"]
    assert table["rank"].tolist()[:2] == [1, 2]
    assert table["probability"].sum() == 1
    assert table["failure"].tolist()[2] == "the file is empty"
    assert table["label"].isna().tolist() == [False, False, True]


def test_without_pandas_one_sentence_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingExtra, match=r"\[notebook\]"):
        Predictions([CAT]).to_pandas()


def test_a_notebook_shows_a_table_in_which_nothing_is_taken_for_markup() -> None:
    shown = Predictions([CAT, BROKEN])._repr_html_()
    assert "<td>a.png</td><td>&lt;cat&gt;</td><td>75.0%</td><td>dog 25.0%</td>" in shown
    assert "the file is empty" in shown
    assert "<cat>" not in shown


def test_only_the_first_of_many_are_shown_and_the_others_counted() -> None:
    many = Predictions([CAT] * (MAX_SHOWN_IMAGES + 3))
    for shown in (repr(many), many._repr_html_()):
        assert shown.count("a.png") == MAX_SHOWN_IMAGES
        assert "... and 3 more" in shown
    assert "more" not in repr(Predictions([CAT] * MAX_SHOWN_IMAGES))
