from collections.abc import Sequence

import msgspec

from tests.report.pages import training_log
from xception.train.charts import training_curves
from xception.train.logs import Epoch


def curves(history: Sequence[Epoch]) -> str:
    chart = training_curves(history)
    assert chart
    return chart.__html__()


def test_the_best_epoch_is_named() -> None:
    points = training_log(5)
    assert f"{points[4].validation_top1:.2%} at epoch 5" in curves(points)


def test_epochs_without_a_validation_are_left_out_and_without_any_there_is_no_chart() -> None:
    unseen = [msgspec.structs.replace(row, validation_loss=None, validation_top1=None) for row in training_log(3)]
    assert curves([*unseen[:2], training_log(3)[2]]) == curves(training_log(3)[2:])
    assert training_curves(unseen) is training_curves([]) is None


def test_a_single_epoch_can_be_drawn() -> None:
    assert "at epoch 1" in curves(training_log(1))
