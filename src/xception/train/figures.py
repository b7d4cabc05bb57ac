"""The figures of a validation, and the one among them that decides which epoch is the best and when a run ends."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from xception.errors import UsageError
from xception.metrics import is_skewed
from xception.train.logs import Epoch

Figure = Literal["top1", "balanced_accuracy", "macro_f1", "roc_auc", "average_precision", "loss"]

OF_LABEL_SETS: tuple[Figure, ...] = ("average_precision", "macro_f1", "roc_auc", "loss")
"""Figures of multi-label data, whose images have no likeliest class that is right or wrong; by default the first."""

BALANCED: tuple[Figure, ...] = ("balanced_accuracy", "macro_f1", "roc_auc")
"""Figures in which every class counts alike."""

Rank = tuple[float, ...]
"""The place of an epoch among others: larger is better, compared number by number."""


def deciding_figure(monitor: Figure | None, class_counts: np.ndarray, *, multi_label: bool = False) -> Figure:
    """The figure that a recipe names, or else balanced accuracy where classes are skewed and top-1 where not, and of
    multi-label data mean average precision.

    Raises:
        UsageError: a figure that the data do not have.
    """
    if multi_label:
        if monitor not in (None, *OF_LABEL_SETS):
            raise UsageError(
                f"monitor is {monitor}, and the images may have several classes; expected {', '.join(OF_LABEL_SETS)}"
            )
        return monitor or OF_LABEL_SETS[0]
    if monitor == "average_precision":
        raise UsageError(
            "monitor is average_precision, which is measured of multi-label data only; expected another figure such as "
            "balanced_accuracy"
        )
    if monitor == "roc_auc" and len(class_counts) != 2:
        raise UsageError(
            f"monitor is roc_auc, and the data have {len(class_counts)} classes; expected two, or another figure such "
            "as balanced_accuracy"
        )
    return monitor or ("balanced_accuracy" if is_skewed(class_counts) else "top1")


def monitor_remark(
    monitor: Figure | None, classes: Sequence[str], class_counts: np.ndarray, *, multi_label: bool = False
) -> str | None:
    """A sentence on the figure that decides, where the data chose it and not the recipe."""
    if multi_label and not monitor:
        return (
            "the images may have several classes each; mean average precision decides which epoch is the best (choose "
            "another with --set monitor=...)"
        )
    if monitor or not is_skewed(class_counts):
        return None
    present = np.flatnonzero(class_counts)
    most, least = (int(pick(class_counts[present])) for pick in (np.argmax, np.argmin))
    frequent, rare = present[most], present[least]
    return (
        f"the classes are skewed: {class_counts[frequent]} images of {classes[frequent]}, {class_counts[rare]} of "
        f"{classes[rare]}; balanced accuracy decides which epoch is the best (choose another with --set monitor=...)"
    )


def rank(row: Epoch, figure: Figure) -> Rank | None:
    """The place of an epoch by a figure, and of equal ones by the validation loss; None without a figure.

    Where the figure counts all classes alike, the loss does so too: the plain one rises while a rare class is learnt.
    """
    value: float | None = getattr(row, f"validation_{figure}")
    if value is None:
        return None
    loss = row.validation_balanced_loss if figure in BALANCED else row.validation_loss
    return (-value,) if figure == "loss" else (value, -(np.inf if loss is None else loss))


def ranks(history: Sequence[Epoch], figure: Figure) -> list[Rank]:
    """The places of the epochs that have the figure."""
    return [place for row in history if (place := rank(row, figure)) is not None]
