import msgspec
import numpy as np
import pytest
from PIL import Image

from tests.support.samples import CLASSES, labelled
from tests.train.samples import EPOCH, small_recipe
from xception.data.source import Item, Items
from xception.errors import InputError, UsageError
from xception.preprocess import Preprocess
from xception.train.advice import (
    class_counts,
    color_remark,
    data_remarks,
    norm_remark,
    require_trainable,
    result_remarks,
)
from xception.train.settings import ScheduleSettings

EMPTY = Items("nothing", CLASSES, ())
SOURCE = labelled(14)
COUNTS = class_counts(SOURCE, CLASSES)


def remarks(counts: list[int], held_out: list[int]) -> str:
    source = Items("data", CLASSES[: len(counts)], ())
    return "\n".join(data_remarks(source, np.array(counts), np.array(held_out)))


def test_images_are_counted_by_the_names_of_their_classes() -> None:
    assert class_counts(labelled(3, ("dog", "cat")), CLASSES).tolist() == [0, 0, 1, 2, 0, 0, 0]


@pytest.mark.parametrize(
    "changes", [{"publish": "best"}, {"stop_after": 3}, {"schedule": ScheduleSettings(name="plateau")}]
)
def test_what_waits_for_figures_is_refused_where_nothing_is_held_out(changes: dict[str, object]) -> None:
    recipe = msgspec.structs.replace(small_recipe(), **changes)
    with pytest.raises(UsageError, match=r"no image of pictures is held out .* cannot decide anything"):
        require_trainable(recipe, SOURCE, EMPTY, COUNTS)
    require_trainable(recipe, SOURCE, SOURCE, COUNTS)
    require_trainable(small_recipe(), SOURCE, EMPTY, COUNTS)


def test_images_of_one_class_are_refused() -> None:
    with pytest.raises(InputError, match="all 14 training images are of one class, 'ant'"):
        require_trainable(small_recipe(), SOURCE, SOURCE, np.array([14, 0, 0, 0, 0, 0, 0]))


def test_classes_without_images_and_without_held_out_ones_are_named() -> None:
    assert "no training images of bee;" in remarks([20, 0], [5, 0])
    assert "no image of bee is held out" in remarks([20, 1], [10, 0])
    assert "ends without an accuracy" in remarks([20, 1], [0, 0])
    assert remarks([200, 100], [20, 10]) == ""


def test_few_held_out_images_are_said_with_what_one_of_them_moves() -> None:
    said = remarks([500, 8], [50, 2])
    assert "only 2 images of bee are held out, so that a single one moves the recall of its class by 50 points" in said
    assert "only 1 image each of ant, bee is held out, so that a single one" in remarks([5, 5], [1, 1])


def pictures(*colors: object) -> Items:
    items = (Item(str(place), 0, lambda color=color: picture(color)) for place, color in enumerate(colors))
    return Items("photos", CLASSES, tuple(items))


def picture(color: object) -> Image.Image:
    return Image.new("RGB", (4, 4), color)


def test_colours_that_a_gray_network_does_not_get_are_said() -> None:
    gray = Preprocess(color="gray", mean=(0.5,), std=(0.5,))
    remark = color_remark(gray, pictures("gray", "red"))
    assert remark is not None
    assert "photos are in colour" in remark
    assert "--set preprocess.color=rgb" in remark
    # JPEG leaves a gray photo with channels that differ by a few levels.
    assert color_remark(gray, pictures((120, 126, 131))) is None
    assert color_remark(Preprocess(), pictures("red")) is None
    broken = Items("photos", CLASSES, (Item("broken", 0, lambda: b"no image"),))
    assert color_remark(gray, broken) is None


def test_norms_that_do_not_settle_within_the_run_are_said_with_a_momentum_that_does() -> None:
    remark = norm_remark(0.01, 80)
    assert remark is not None
    assert "after all 80 steps 45% of them are still their initial values" in remark
    assert "--set model.norm_momentum=0.1" in remark
    assert norm_remark(0.1, 80) is None
    assert norm_remark(0.01, 400) is None
    suggested = float((norm_remark(0.01, 9) or "").rpartition("=")[2])
    assert (1 - suggested) ** 9 < 0.05


def diagnosis(*rows: tuple[float, float, float]) -> str:
    """The sentences on epochs with these training losses, validation losses and balanced accuracies."""
    history = [
        msgspec.structs.replace(EPOCH, train_loss=loss, validation_loss=held_out, validation_balanced_accuracy=accuracy)
        for loss, held_out, accuracy in rows
    ]
    return " ".join(result_remarks(history, classes=2))


def test_a_finished_run_says_what_went_wrong() -> None:
    assert "has not fallen (0.70 in the first epoch, 0.90 in the last)" in diagnosis((0.7, 0.7, 0.5), (0.9, 0.7, 0.5))
    assert "that of guessing among 2 classes" in diagnosis((0.7, 0.7, 0.5), (0.1, 0.7, 0.5))
    assert "rose from 0.30 to 0.60" in diagnosis((0.7, 0.3, 0.9), (0.1, 0.6, 0.9))
    assert diagnosis((0.7, 0.7, 0.6), (0.2, 0.3, 0.9)) == ""
    assert diagnosis((0.7, 0.7, 0.5)) == ""
