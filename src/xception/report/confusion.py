"""The confusion matrix for readers: a heat map of few classes, or the worst pairs of many."""

from dataclasses import dataclass
from math import sqrt

from xception.tasks.evaluation import MAX_CLASSES_DRAWN, Evaluation

MAX_PAIRS = 20


@dataclass(frozen=True)
class Cell:
    """One count and the strength of its colour, 0 to 100."""

    count: int
    strength: int
    is_right: bool


@dataclass(frozen=True)
class HeatRow:
    """All images of one true class."""

    label: str
    cells: tuple[Cell, ...]
    total: int
    recall: float | None


@dataclass(frozen=True)
class Pair:
    """The number of images of one class that were taken for another."""

    label: str
    predicted: str
    count: int
    total: int


def shown(evaluation: Evaluation) -> dict[str, object]:
    """The part of the matrix that the page shows: the heat map with its margins, or the worst pairs; none of
    multi-label data, whose images are not taken for one class."""
    if evaluation.label_sets:
        return {"heat_map": (), "precisions": (), "worst_pairs": ()}
    is_small = len(evaluation.labels) <= MAX_CLASSES_DRAWN
    return {
        "heat_map": heat_map(evaluation) if is_small else (),
        "precisions": precisions(evaluation) if is_small else (),
        "worst_pairs": () if is_small else worst_pairs(evaluation),
    }


def heat_map(evaluation: Evaluation) -> tuple[HeatRow, ...]:
    """One row per true class, classes in the order of the labels."""
    return tuple(
        _heat_row(index, label, counts)
        for index, (label, counts) in enumerate(zip(evaluation.labels, evaluation.confusion, strict=True))
    )


def precisions(evaluation: Evaluation) -> tuple[float | None, ...]:
    """Share of right ones among the images taken for each class; None for a class that no image was taken for."""
    columns = zip(*evaluation.confusion, strict=True)
    return tuple(_share(column[index], sum(column)) for index, column in enumerate(columns))


def worst_pairs(evaluation: Evaluation) -> tuple[Pair, ...]:
    """The most frequent confusions, most frequent first, at most `MAX_PAIRS`."""
    names = evaluation.labels
    pairs = [
        Pair(names[target], names[predicted], count, sum(counts))
        for target, counts in enumerate(evaluation.confusion)
        for predicted, count in enumerate(counts)
        if count and predicted != target
    ]
    return tuple(sorted(pairs, key=lambda pair: -pair.count)[:MAX_PAIRS])


def _heat_row(target: int, label: str, counts: tuple[int, ...]) -> HeatRow:
    total = sum(counts)
    # The root lifts single mistakes, which a linear scale would leave white next to the diagonal.
    cells = tuple(
        Cell(count, round(100 * sqrt(_share(count, total) or 0)), index == target) for index, count in enumerate(counts)
    )
    return HeatRow(label, cells, total, _share(counts[target], total))


def _share(part: int, total: int) -> float | None:
    return part / total if total else None
