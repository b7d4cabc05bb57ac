"""The learning rate, and the end, as functions of the step and of the validation losses: nothing else to save.

The formulas are those of the sources: MindSpore's model zoo (linear, poly, steps and a cosine of its own), MindCV and
PaddleClas (cosine by the step), timm (cosine by the epoch), the paper (staged) and Keras (plateau).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import cos, floor, pi

from xception.train.settings import ScheduleSettings

PLATEAU_MIN_DELTA = 1e-4
"""By how much a validation loss has to fall to count, Keras' default."""


@dataclass(frozen=True, kw_only=True)
class Course:
    """How long a run is. A step is one change of the weights; `batch_size` counts its images over all processes."""

    steps_per_epoch: int
    epochs: int
    batch_size: int

    @property
    def total(self) -> int:
        return self.steps_per_epoch * self.epochs


def rate(settings: ScheduleSettings, peak: float, step: int, course: Course, losses: Sequence[float] = ()) -> float:
    """The rate of step `step`, counted from 0.

    Args:
        settings: the schedule.
        peak: the rate that it scales.
        step: any of the run's.
        course: the run's length.
        losses: the finished epochs' validation losses, which the plateau schedule follows.
    """
    if settings.each_epoch:
        step -= step % course.steps_per_epoch
    warmup = round(settings.warmup_epochs * course.steps_per_epoch)
    if step < warmup:
        return _rising(settings, peak, step, warmup)
    hidden = 0 if settings.warmup_inside else warmup
    done = (step - hidden) / max(1, course.total - hidden)
    return DECAYS[settings.name](Moment(settings, peak, step, done, warmup, course, losses))


def _rising(settings: ScheduleSettings, peak: float, step: int, warmup: int) -> float:
    start = settings.warmup_from or 0.0
    reaches_peak = settings.warmup_from is None or settings.name == "mindspore_cosine"
    return start + (peak - start) * (step + reaches_peak) / warmup


def has_stalled(losses: Sequence[float], patience: int) -> bool:
    """Whether the last `patience` validation losses are none of them lower than one before them."""
    return len(losses) > patience and min(losses[-patience:]) >= min(losses[:-patience])


@dataclass(frozen=True)
class Moment:
    """A step behind the warm-up, as the decays see it; `done` is the share of the decay before it."""

    settings: ScheduleSettings
    peak: float
    step: int
    done: float
    warmup: int
    course: Course
    losses: Sequence[float]


def _constant(at: Moment) -> float:
    return at.peak


def _cosine(at: Moment) -> float:
    return at.settings.end_lr + (at.peak - at.settings.end_lr) * 0.5 * (1 + cos(pi * at.done))


def _linear(at: Moment) -> float:
    return at.settings.end_lr + (at.peak - at.settings.end_lr) * (1 - at.done)


def _poly(at: Moment) -> float:
    return at.settings.end_lr + (at.peak - at.settings.end_lr) * float((1 - at.done) ** at.settings.power)


def _steps(at: Moment) -> float:
    passed = sum(at.step >= share * at.course.total for share in at.settings.milestones)
    return at.peak * at.settings.factor**passed


def _staged(at: Moment) -> float:
    if at.settings.every_images:
        stage = at.step * at.course.batch_size // at.settings.every_images
    else:
        stage = floor(at.step / at.course.steps_per_epoch / (at.settings.every_epochs or 1))
    return at.peak * float(at.settings.factor**stage)


def _plateau(at: Moment) -> float:
    """Keras' rule: a fall after `patience` epochs, counted anew from each best loss and each fall."""
    best, waited, falls = float("inf"), 0, 0
    for loss in at.losses:
        if loss < best - PLATEAU_MIN_DELTA:
            best, waited = loss, 0
        else:
            waited += 1
        if waited == at.settings.patience:
            falls, waited = falls + 1, 0
    return at.peak * float(at.settings.factor**falls)


def _mindspore_cosine(at: Moment) -> float:
    """A cosine under a line; both count the warm-up's steps too, so that the decay starts below the peak rate."""
    length = max(1, at.course.total - at.warmup)
    line = (at.course.total - at.step) / length
    wave = 0.5 * (1 + cos(pi * 2 * 0.47 * at.step / length))
    return at.peak * (line * wave + 1e-5)


DECAYS: dict[str, Callable[[Moment], float]] = {
    "constant": _constant,
    "cosine": _cosine,
    "linear": _linear,
    "poly": _poly,
    "steps": _steps,
    "staged": _staged,
    "plateau": _plateau,
    "mindspore_cosine": _mindspore_cosine,
}
