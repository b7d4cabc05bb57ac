"""Training from a recipe to a bundle: set a run up, claim its place, train, and publish."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch.optim import Optimizer

from xception.bundle import Bundle
from xception.data.source import Source
from xception.outputs import json_document
from xception.train.advice import result_remarks
from xception.train.assembly import assemble, remarks
from xception.train.callbacks import Callback, RunningTraining
from xception.train.distributed import from_first
from xception.train.interruption import noted_signals
from xception.train.loop import TrainingRun
from xception.train.losses import Loss
from xception.train.manifest import RunManifest, check_same_data, describe_run, read_manifest
from xception.train.optimizers import Groups
from xception.train.own_parts import OwnParts
from xception.train.qat import FakeQuantized
from xception.train.rate_finder import RATE_SEARCH, RateSearch, search_rate, with_rate_of
from xception.train.recipe import Recipe, load_recipe
from xception.train.result import publish
from xception.train.resuming import claim, prolonged, refuse_taken, restored
from xception.train.saving import Saver
from xception.train.schedule import Moment
from xception.train.setup import TrainingSetup
from xception.train.step_events import StepEvents
from xception.train.storage import Storage, open_storage
from xception.train.training_data import DataHalves, given_data


def train_network(
    recipe: Recipe | str | Path,
    data: str | Path | Source | None = None,
    *,
    out: str | Path,
    validation: str | Path | Source | None = None,
    loss: Loss | None = None,
    optimizer: Callable[[Groups], Optimizer] | None = None,
    schedule: Callable[[Moment], float] | None = None,
    augment: Callable[[Image.Image, np.random.Generator], Image.Image] | None = None,
    callbacks: Sequence[Callback] = (),
    find_lr: bool = False,
    resume: bool = False,
    workers: int | None = None,
    keep: int = 2,
    save_every: int | None = None,
    like: RunManifest | None = None,
    on_note: Callable[[str], None] = lambda _: None,
) -> Bundle:
    """Train a network, and write its bundle to `out/bundle`; `out` also holds checkpoints, `run.json` and the log.

    On a CPU the weights depend only on the recipe, the data and torch's number of threads: an interrupted
    and resumed run ends with the same bits, and so does one with another number of workers.

    Args:
        recipe: the configuration, or its name or file, see `load_recipe`.
        data: path, URL or source of the images, in place of those that the recipe names.
        out: folder of the run, or a URL such as `s3://bucket/run`; with a URL, the returned bundle is a copy in a
            temporary folder of this machine.
        validation: images for validation, if they are not a part of `data`.
        loss: replaces the recipe's loss; `optimizer`, `schedule` and `augment` do the same for theirs, see `OwnParts`.
        callbacks: called during the run, which they may change or end; the lineage records them like the parts above.
        find_lr: first search for a learning rate on a copy of the run, and use it instead of the recipe's; a resumed
            run keeps its rate.
        resume: continue the run at `out`, if there is one; with more epochs than it had, it is prolonged.
        workers: number of processes that prepare batches, by default one that suits the machine; with 0, a thread.
        keep: number of last checkpoints to keep, in addition to the best.
        save_every: number of epochs from one saved state to the next; by default the state is saved after every epoch
            and about every ten seconds. The last state, the best one if it is published, and that of a stopped run
            are always saved.
        like: the run to repeat; its data must be the same.
        on_note: called with each sentence that the person who trains should read.

    Raises:
        InputError: `out` is taken or holds another run, or data cannot be read.
        EnvironmentFault: `out` cannot be written.
        CheckFailed: the loss or the weights are no longer finite.
        Stopped: SIGTERM or SIGINT came; everything is saved.
    """
    own = OwnParts(loss=loss, optimizer=optimizer, schedule=schedule, augment=augment, callbacks=tuple(callbacks))
    options = _Options(
        find_lr=find_lr, resume=resume, workers=workers, keep=keep, save_every=save_every, like=like, on_note=on_note
    )
    recipe, halves = given_data(recipe if isinstance(recipe, Recipe) else load_recipe(recipe), data, validation)
    with closing(open_storage(out)) as storage:
        return _train_at(storage, recipe, halves, own, options)


@dataclass(frozen=True, kw_only=True)
class _Options:
    """Arguments of `train_network` that say how a run is made, rather than what it makes."""

    find_lr: bool
    resume: bool
    workers: int | None
    keep: int
    save_every: int | None
    like: RunManifest | None
    on_note: Callable[[str], None]


def _train_at(storage: Storage, recipe: Recipe, halves: DataHalves | None, own: OwnParts, options: _Options) -> Bundle:
    """Set the run up, claim its place, and train there unless its bundle is finished."""
    recipe, search = _with_found_rate(storage, recipe, halves, own, options)
    setup = assemble(recipe, halves, own=own, on_note=options.on_note)
    manifest, is_first = describe_run(recipe, setup), setup.fabric.is_global_zero
    if options.like:
        check_same_data(options.like, manifest, "the run to repeat")
    asked: dict[str, Any] = {"like": options.like, "resume": options.resume, "on_note": options.on_note}
    claimed = from_first(setup.fabric, lambda: claim(storage, manifest, **asked))
    if claimed.finished:
        return claimed.finished
    if search and is_first:
        storage.write(RATE_SEARCH, json_document(search))
    run = _run(storage, recipe, setup, own, options)
    if claimed.earlier is None and options.like is None and is_first:
        _say(remarks(recipe, setup), options.on_note)
    return _train(run, prolonged(storage, manifest, claimed.earlier, setup, options.on_note))


def _with_found_rate(
    storage: Storage, recipe: Recipe, halves: DataHalves | None, own: OwnParts, options: _Options
) -> tuple[Recipe, RateSearch | None]:
    """The recipe, with a rate that is searched for if one is asked for, or with that of the run to resume."""
    if not options.find_lr:
        return recipe, None
    refuse_taken(storage, resume=options.resume)
    if options.resume and (found := read_manifest(storage)):
        return with_rate_of(found.recipe, recipe), None
    return search_rate(recipe, halves, own=own, workers=options.workers, on_note=options.on_note)


def _run(storage: Storage, recipe: Recipe, setup: TrainingSetup, own: OwnParts, options: _Options) -> TrainingRun:
    """The run at its newest saved state, or at its beginning."""
    checkpoints = restored(storage, options.keep, setup, options.on_note)
    return TrainingRun(
        setup,
        storage,
        Saver(setup, checkpoints, options.save_every, publishes_best=recipe.publish == "best"),
        RunningTraining(
            recipe=recipe, course=setup.course, place=storage.place, state=setup.state, note=options.on_note
        ),
        (StepEvents(storage), *own.callbacks),
        options.workers,
    )


def _train(run: TrainingRun, manifest: RunManifest) -> Bundle:
    """Train to the end of the run, and publish its bundle."""
    setup = run.setup
    for callback in run.heard:
        callback.on_start(run.running)
    with noted_signals() as run.request:
        validation = run.train()
        if manifest.recipe.publish == "best":
            validation = run.return_to_best()
        if isinstance(setup.state.network, FakeQuantized):
            validation = run.judge(setup.state.network.plain())
    if setup.fabric.is_global_zero:
        _say(result_remarks(setup.state.progress.history, len(setup.batches.source.classes)), run.running.note)
    bundle = from_first(setup.fabric, lambda: publish(run.storage, setup, manifest, validation))
    for callback in run.heard:
        callback.on_end(run.running, bundle)
    return bundle


def _say(sentences: Iterable[str], on_note: Callable[[str], None]) -> None:
    for sentence in sentences:
        on_note(sentence)
