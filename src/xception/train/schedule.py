"""The learning rate and the end of a run as functions of the step and of the validation losses: no state to save.

The formulas are those of the sources: MindSpore's model zoo (linear, poly, steps and a cosine of its own), MindCV and
PaddleClas (cosine by the step), timm (cosine by the epoch), the paper (staged) and Keras (plateau).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import cos, floor, pi

from xception.train.figures import Figure, Rank, ranks
from xception.train.logs import Epoch
from xception.train.settings import ScheduleSettings

PLATEAU_MIN_DELTA = 1e-4
"""Smallest fall of a validation loss that counts; Keras' default."""


@dataclass(frozen=True, kw_only=True)
class Course:
    """The length of a run. A step is one change of the weights; `batch_size` counts its images over all processes."""

    steps_per_epoch: int
    epochs: int
    batch_size: int
    figure: Figure = "top1"
    """Figure of the validation part by which epochs are compared."""
    stop_after: int | None = None
    """Epochs without a better figure after which the run ends."""
    validate_every: int = 1
    """Epochs from one validation to the next."""

    @property
    def total_steps(self) -> int:
        return self.steps_per_epoch * self.epochs

    def is_validated(self, epoch: int) -> bool:
        """True for epochs, counted from 1, that end with a validation."""
        return epoch % self.validate_every == 0 or epoch >= self.epochs

    def is_over(self, history: Sequence[Epoch]) -> bool:
        """True at the end of a run with these finished epochs."""
        stalls = self.stop_after is not None and has_stalled(ranks(history, self.figure), self.stop_after)
        return len(history) >= self.epochs or stalls


def has_stalled(places: Sequence[Rank], patience: int) -> bool:
    """True if none of the last `patience` epochs is better than all before them."""
    return len(places) > patience and max(places[-patience:]) <= max(places[:-patience])


@dataclass(frozen=True)
class LearningRate:
    """The learning rate of every step of a run."""

    settings: ScheduleSettings
    peak: float
    """The rate that the schedule scales."""
    course: Course
    own: "Callable[[Moment], float] | None" = None
    """A program's own schedule, in place of the settings' one."""

    def __call__(self, step: int, losses: Sequence[float] = ()) -> float:
        """The rate of step `step`, counted from 0.

        Args:
            step: any of the run's.
            losses: validation losses of the finished epochs, which the plateau schedule follows.
        """
        settings, course = self.settings, self.course
        if settings.each_epoch:
            step -= step % course.steps_per_epoch
        warmup = round(settings.warmup_epochs * course.steps_per_epoch)
        if step < warmup:
            return self._rising(step, warmup)
        hidden = 0 if settings.warmup_inside else warmup
        done = (step - hidden) / max(1, course.total_steps - hidden)
        schedule = self.own or SCHEDULES[settings.name]
        return schedule(Moment(settings, self.peak, step, done, warmup, course, losses))

    def _rising(self, step: int, warmup: int) -> float:
        start = self.settings.warmup_from or 0.0
        reaches_peak = self.settings.warmup_from is None or self.settings.name == "mindspore_cosine"
        return start + (self.peak - start) * (step + reaches_peak) / warmup


@dataclass(frozen=True)
class Moment:
    """A step after the warm-up, as the schedules see it."""

    settings: ScheduleSettings
    peak: float
    step: int
    done: float
    """Share of the decay before this step."""
    warmup: int
    """Steps of the warm-up."""
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
    passed = sum(at.step >= share * at.course.total_steps for share in at.settings.milestones)
    return at.peak * at.settings.factor**passed


def _staged(at: Moment) -> float:
    if at.settings.every_images:
        stage = at.step * at.course.batch_size // at.settings.every_images
    else:
        stage = floor(at.step / at.course.steps_per_epoch / (at.settings.every_epochs or 1))
    return at.peak * float(at.settings.factor**stage)


def _plateau(at: Moment) -> float:
    """Keras' rule: the rate falls after `patience` epochs, counted anew from each best loss and each fall."""
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
    """A cosine times a line; both count the steps of the warm-up too, so that the decay starts below the peak rate."""
    length = max(1, at.course.total_steps - at.warmup)
    line = (at.course.total_steps - at.step) / length
    wave = 0.5 * (1 + cos(pi * 2 * 0.47 * at.step / length))
    return at.peak * (line * wave + 1e-5)


SCHEDULES: dict[str, Callable[[Moment], float]] = {
    "constant": _constant,
    "cosine": _cosine,
    "linear": _linear,
    "poly": _poly,
    "steps": _steps,
    "staged": _staged,
    "plateau": _plateau,
    "mindspore_cosine": _mindspore_cosine,
}
"""Rate after the warm-up for each `schedule.name`."""
