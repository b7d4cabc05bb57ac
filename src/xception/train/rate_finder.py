"""The search for a learning rate: steps at growing rates on a copy of the run, until the loss rises (Smith 2017)."""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from math import isfinite

import msgspec

from xception.errors import CheckFailed
from xception.train.assembly import assemble
from xception.train.batch_augment import Batch
from xception.train.distributed import summed
from xception.train.finetune import set_learning
from xception.train.loader import training_batches
from xception.train.own_parts import NO_PARTS, OwnParts
from xception.train.parameter_groups import peak_rate
from xception.train.recipe import Recipe
from xception.train.schedule import Course, LearningRate
from xception.train.settings import ScheduleSettings
from xception.train.setup import TrainingSetup
from xception.train.storage import Storage, read_document
from xception.train.training_data import DataHalves

RATE_SEARCH = "rate_search.json"
"""The search of a run, in its folder."""

LOWEST_RATE, HIGHEST_RATE = 1e-6, 10.0
MAX_SEARCH_STEPS = 100

PAST_WEIGHT = 0.9
"""Weight of the past in the smoothed losses."""

DIVERGED = 3.0
"""Multiple of the lowest smoothed loss at which the search ends."""

MIN_FALL = 0.02
"""Share of the first loss by which it has to fall, for there to be a rate that trains."""


class RateSearch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The rates that were tried, and the one that was chosen."""

    rates: tuple[float, ...]
    """Peak rates of the steps, in order."""
    losses: tuple[float, ...]
    """Smoothed loss before each step."""
    chosen: float
    before: float
    """Peak rate of the recipe."""

    def __str__(self) -> str:
        return (
            f"the learning rate is {self.chosen:g} in place of {self.before:g}: of {len(self.rates)} steps at rates "
            f"from {self.rates[0]:.0e} to {self.rates[-1]:.2g}, the loss fell longest around it"
        )


def search_rate(
    recipe: Recipe,
    halves: DataHalves | None = None,
    *,
    own: OwnParts = NO_PARTS,
    workers: int | None = None,
    on_note: Callable[[str], None] = lambda _: None,
) -> tuple[Recipe, RateSearch]:
    """The recipe with the rate that the search chooses; its network and state are discarded.

    Args:
        recipe: the configuration, all of which but the schedule applies.
        halves: training and validation data, in place of those that the recipe names.
        own: parts in place of the recipe's.
        workers: processes that prepare batches, by default as many as suit the machine.
        on_note: called with the result in a sentence.

    Raises:
        CheckFailed: the loss falls at none of the rates.
    """
    setup = assemble(recipe, halves, own=own)
    rates, losses = _sweep(setup, workers)
    before = peak_rate(recipe.optim, recipe.batch_size)
    found = RateSearch(rates=rates, losses=losses, chosen=valley(rates, losses), before=before)
    on_note(str(found))
    return with_rate(recipe, found.chosen), found


def with_rate(recipe: Recipe, peak: float) -> Recipe:
    """The recipe with another peak rate, whatever number of images its `optim.lr` is meant for."""
    per_peak = recipe.optim.lr / peak_rate(recipe.optim, recipe.batch_size)
    return msgspec.structs.replace(recipe, optim=msgspec.structs.replace(recipe.optim, lr=peak * per_peak))


def with_rate_of(found: Recipe, recipe: Recipe) -> Recipe:
    """The recipe with the rate of the run that it resumes, which searched for it."""
    return msgspec.structs.replace(recipe, optim=msgspec.structs.replace(recipe.optim, lr=found.optim.lr))


def _sweep(setup: TrainingSetup, workers: int | None) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Make the steps; returns their rates and smoothed losses."""
    growth = (HIGHEST_RATE / LOWEST_RATE) ** (1 / (MAX_SEARCH_STEPS - 1))
    course = Course(steps_per_epoch=MAX_SEARCH_STEPS, epochs=1, batch_size=setup.course.batch_size)
    constant = ScheduleSettings(name="constant")
    growing = LearningRate(constant, LOWEST_RATE, course, lambda at: LOWEST_RATE * growth**at.step)
    setup = replace(setup, stepper=replace(setup.stepper, learning_rate=growing))
    set_learning(setup.state.network, setup.freeze, 0)
    rates: list[float] = []
    smoothed: list[float] = []
    total = 0.0
    with closing(training_batches(setup.fabric, setup.batches, 0, MAX_SEARCH_STEPS, workers)) as batches:
        for step, batch in enumerate(batches):
            loss = _loss_of_step(setup, batch)
            total = PAST_WEIGHT * total + (1 - PAST_WEIGHT) * loss
            value = total / (1 - PAST_WEIGHT ** (step + 1))
            if not isfinite(value) or value > DIVERGED * min(smoothed, default=value):
                break
            rates.append(growing(step))
            smoothed.append(value)
            setup.state.progress.step += 1
    return tuple(rates), tuple(smoothed)


def _loss_of_step(setup: TrainingSetup, batch: Batch) -> float:
    weight = setup.batches.weight(setup.state.progress.step)
    (total,) = summed(setup.fabric, setup.stepper(setup.state, batch, weight).item() * weight)
    return total / setup.fabric.world_size


def valley(rates: Sequence[float], losses: Sequence[float]) -> float:
    """The rate in the middle of the longest fall of the loss, with two digits.

    Of all subsequences of falling losses the longest ends at the foot of the valley; its middle is where the loss
    falls surely, and well before it rises (the rule `valley` of fastai).

    Raises:
        CheckFailed: the loss does not fall.
    """
    if not losses or min(losses) > (1 - MIN_FALL) * losses[0]:
        raise CheckFailed(
            f"the loss falls at none of {len(rates)} rates from {LOWEST_RATE:g} on; look at the images and labels "
            "with xception data check, or give a rate with --set optim.lr="
        )
    lengths = [1] * len(losses)
    for end, loss in enumerate(losses):
        lengths[end] += max((lengths[start] for start in range(end) if losses[start] > loss), default=0)
    foot = max(range(len(losses)), key=lambda end: lengths[end])
    start = max(0, foot - lengths[foot])
    return float(f"{rates[(start + foot) // 2]:.1e}")


def read_rate_search(storage: Storage) -> RateSearch | None:
    """The search of the run in a storage; None if there was none.

    Raises:
        InputError: the file holds something else.
    """
    return read_document(storage, RATE_SEARCH, RateSearch, "search for a rate")
