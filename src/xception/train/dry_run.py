"""A dry run: the plan of a run, and two of its steps to show that it works and how fast."""

from time import perf_counter

import msgspec
import torch

from xception.machine import peak_memory_bytes
from xception.train.assembly import assemble, remarks
from xception.train.finetune import set_learning
from xception.train.loader import training_batches
from xception.train.manifest import RunManifest, describe_run
from xception.train.recipe import Recipe
from xception.train.setup import TrainingSetup

REHEARSED_STEPS = 2


class Plan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The findings of a dry run."""

    run: RunManifest
    parameters: int
    remarks: tuple[str, ...]
    """Sentences on what a person should know before the first step."""
    steps_per_epoch: int
    total_steps: int
    rates: dict[int, float]
    """Learning rate by step, counted from 1: at both ends of the run and of its first epoch, and at its quarters."""
    losses: tuple[float, ...]
    """Loss before each rehearsed step."""
    ms_per_step: float
    """Duration of the last rehearsed step, without loading its batch."""
    peak_memory_bytes: int | None
    """Peak memory of the GPU, or of the whole process where there is none; None where the system does not tell."""


def rehearse(recipe: Recipe, workers: int | None = None) -> Plan:
    """Set a run up, make two steps, and discard everything; nothing is written.

    Raises:
        InputError: data that cannot be read.
        UsageError: settings that do not fit the network, the data or the machine.
    """
    notes: list[str] = []
    setup = assemble(recipe, on_note=notes.append)
    steps, progress = setup.course.total_steps, setup.state.progress
    set_learning(setup.state.network, setup.freeze, 0)
    losses, ms_per_step = [], 0.0
    for batch in training_batches(setup.fabric, setup.batches, 0, min(REHEARSED_STEPS, steps), workers):
        started = perf_counter()
        losses.append(setup.stepper(setup.state, batch, setup.batches.weight(progress.step)).item())
        ms_per_step = 1000 * (perf_counter() - started)
        progress.step += 1
    return Plan(
        run=describe_run(recipe, setup),
        parameters=sum(parameter.numel() for parameter in setup.state.network.parameters()),
        remarks=(*notes, *remarks(recipe, setup)),
        steps_per_epoch=setup.batches.per_epoch,
        total_steps=steps,
        rates=_rates(setup, steps),
        losses=tuple(losses),
        ms_per_step=round(ms_per_step, 2),
        peak_memory_bytes=_peak_memory_bytes(),
    )


def _rates(setup: TrainingSetup, steps: int) -> dict[int, float]:
    chosen = {0, setup.batches.per_epoch - 1, steps // 4, steps // 2, 3 * steps // 4, steps - 1}
    return {step + 1: setup.stepper.learning_rate(step) for step in sorted(chosen)}


def _peak_memory_bytes() -> int | None:
    return int(torch.cuda.max_memory_allocated()) if torch.cuda.is_available() else peak_memory_bytes()
