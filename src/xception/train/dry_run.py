"""A run before it is begun: what it would do, and two of its steps to see whether and how fast it can."""

from time import perf_counter

import msgspec
import torch

from xception.machine import peak_memory_bytes
from xception.train.freezing import set_learning
from xception.train.loop import Parts
from xception.train.manifest import RunManifest, manifest_of
from xception.train.recipe import Recipe
from xception.train.trainer import assemble

STEPS = 2


class Plan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a dry run found out."""

    run: RunManifest
    parameters: int
    validation_images: int
    steps_per_epoch: int
    total_steps: int
    rates: dict[int, float]
    """By step, counted from 1: at the ends of the run and of its first epoch, and at its quarters."""
    losses: tuple[float, ...]
    """Before each of the steps that were made."""
    ms_per_step: float
    """Of the last of them, without the making of its batch."""
    peak_memory_bytes: int | None
    """Peak memory of the GPU, or of the whole process where there is none; None where the system does not tell."""


def rehearse(recipe: Recipe, workers: int = 2) -> Plan:
    """Set a run up, make two steps, and throw all away. Nothing is written.

    Raises:
        InputError: data that cannot be read.
        UsageError: settings that do not fit the network, the data or the machine.
    """
    parts = assemble(recipe)
    steps, progress = recipe.epochs * parts.batches.per_epoch, parts.state.progress
    set_learning(parts.state.network, recipe.freeze, 0)
    losses, ms_per_step = [], 0.0
    for batch in parts.batches.from_step(0, min(STEPS, steps), workers):
        started = perf_counter()
        losses.append(parts.stepper(parts.state, batch, parts.batches.weight(progress.step)))
        ms_per_step = 1000 * (perf_counter() - started)
        progress.step += 1
    return Plan(
        run=manifest_of(recipe, parts.batches, parts.fabric.device.type),
        parameters=sum(parameter.numel() for parameter in parts.state.network.parameters()),
        validation_images=len(parts.validation),
        steps_per_epoch=parts.batches.per_epoch,
        total_steps=steps,
        rates=_rates(parts, steps),
        losses=tuple(losses),
        ms_per_step=round(ms_per_step, 2),
        peak_memory_bytes=_peak_memory_bytes(),
    )


def _rates(parts: Parts, steps: int) -> dict[int, float]:
    chosen = {0, parts.batches.per_epoch - 1, steps // 4, steps // 2, 3 * steps // 4, steps - 1}
    return {step + 1: parts.stepper.lr(step, []) for step in sorted(chosen)}


def _peak_memory_bytes() -> int | None:
    return int(torch.cuda.max_memory_allocated()) if torch.cuda.is_available() else peak_memory_bytes()
