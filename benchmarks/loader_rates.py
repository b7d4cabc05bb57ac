"""Rates of training batches: prepared by worker processes alone, and trained on from files."""

import time
from itertools import islice

from benchmarks import device
from xception.train.batch_augment import Batch
from xception.train.loader import prepared_batches, training_batches
from xception.train.setup import TrainingSetup


def first_batch(setup: TrainingSetup) -> Batch:
    """A batch of the run on its device."""
    return next(training_batches(setup.fabric, setup.batches, 0, 1, 0))


def loader_rate(setup: TrainingSetup, workers: int, steps: int) -> float:
    """Images per second that worker processes prepare, after their start."""
    skipped = 2 * workers
    made = prepared_batches(setup.batches, 0, skipped + steps, workers, pinned=setup.fabric.device.type == "cuda")
    count, started = 0, 0.0
    for number, batch in enumerate(made):
        if number == skipped:
            started = time.perf_counter()
        elif number > skipped:
            count += len(batch.levels)
    return count / max(1e-9, time.perf_counter() - started)


def fed_rate(setup: TrainingSetup, workers: int, steps: int) -> float:
    """Images per second of training from files, after the start of the workers."""
    skipped = min(16, steps // 2)
    made = training_batches(setup.fabric, setup.batches, 0, skipped + steps, workers)
    for batch in islice(made, skipped):
        setup.stepper(setup.state, batch)
    device.wait()
    started, count = time.perf_counter(), 0
    for batch in made:
        setup.stepper(setup.state, batch)
        count += len(batch.levels)
    device.wait()
    return count / (time.perf_counter() - started)
