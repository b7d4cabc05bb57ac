import msgspec
import numpy as np
import pytest

from tests.train.samples import EPOCH
from xception.errors import UsageError
from xception.metrics import is_skewed
from xception.train.figures import deciding_figure, monitor_remark, rank, ranks
from xception.train.logs import Epoch

EVEN, SKEWED = np.array([40, 30]), np.array([500, 10])


def row(**figures: float | None) -> Epoch:
    return msgspec.structs.replace(EPOCH, **{f"validation_{name}": value for name, value in figures.items()})


def test_classes_are_skewed_from_twice_the_images_on_and_absent_ones_do_not_count() -> None:
    assert not is_skewed(np.array([39, 20, 0]))
    assert is_skewed(np.array([40, 20]))
    assert not is_skewed(np.array([40]))


def test_balanced_accuracy_decides_where_classes_are_skewed_unless_a_recipe_names_another_figure() -> None:
    assert (deciding_figure(None, EVEN), deciding_figure(None, SKEWED)) == ("top1", "balanced_accuracy")
    assert deciding_figure("loss", SKEWED) == "loss"
    with pytest.raises(UsageError, match="roc_auc, and the data have 3 classes; expected two"):
        deciding_figure("roc_auc", np.ones(3))


def test_a_choice_that_the_data_made_is_said_with_the_counts() -> None:
    remark = monitor_remark(None, ("healthy", "sick"), SKEWED)
    assert remark is not None
    assert "500 images of healthy, 10 of sick; balanced accuracy decides" in remark
    assert monitor_remark(None, ("a", "b"), EVEN) is None
    assert monitor_remark("top1", ("a", "b"), SKEWED) is None


def test_always_answering_the_frequent_class_is_not_the_best_epoch_of_skewed_data() -> None:
    constant = row(top1=500 / 510, balanced_accuracy=0.5, loss=0.1)
    useful = row(top1=0.95, balanced_accuracy=0.94, loss=0.2)
    figure = deciding_figure(None, SKEWED)
    assert max((constant, useful), key=lambda one: rank(one, figure) or ()) is useful
    assert max((constant, useful), key=lambda one: rank(one, "top1") or ()) is constant
    assert max((constant, useful), key=lambda one: rank(one, "loss") or ()) is constant


def test_of_equal_balanced_figures_the_loss_decides_that_counts_the_classes_alike() -> None:
    """While a rare class is being learnt the frequent one's loss rises, and with it the plain loss."""
    before = row(balanced_accuracy=0.5, macro_f1=0.4, loss=0.2, balanced_loss=1.4)
    learning = row(balanced_accuracy=0.5, macro_f1=0.4, loss=0.3, balanced_loss=0.9)
    for figure in ("balanced_accuracy", "macro_f1"):
        assert max((before, learning), key=lambda one: rank(one, figure) or ()) is learning
    assert max((before, learning), key=lambda one: rank(one, "loss") or ()) is before


def test_of_equal_figures_the_lower_loss_is_better_and_an_epoch_without_one_has_no_rank() -> None:
    places = ranks([row(top1=0.5, loss=2.0), row(top1=None, loss=None), row(top1=0.5, loss=1.0)], "top1")
    assert len(places) == 2
    assert places[1] > places[0]
