"""Training from a recipe to a bundle: claim the place of a run, train, and publish."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
from PIL import Image
from torch.optim import Optimizer

from xception.bundle import Bundle, Score
from xception.data.source import Source
from xception.data.sources import open_halves
from xception.data.training_images import TRAINING_IMAGES, Digests, digests_bytes
from xception.errors import InputError
from xception.goldens import Image8, write_with_goldens
from xception.identity.identity import with_identity
from xception.models.network import Xception
from xception.outputs import json_document
from xception.tasks.evaluation import Evaluation
from xception.train.advice import result_remarks
from xception.train.assembly import assemble, remarks
from xception.train.callbacks import Callback, RunningTraining
from xception.train.checkpoint import Checkpoints, restore
from xception.train.distributed import from_first
from xception.train.interruption import noted_signals
from xception.train.loop import Parts, TrainingRun
from xception.train.losses import Loss
from xception.train.manifest import (
    EarlierLength,
    RunManifest,
    check_same_data,
    check_same_recipe,
    describe_run,
    differing_surroundings,
    read_manifest,
    write_manifest,
)
from xception.train.optim import Groups
from xception.train.own_parts import OwnParts
from xception.train.qat import FakeQuantized
from xception.train.rate_finder import RATE_SEARCH, RateSearch, search_rate
from xception.train.recipe import Recipe, load_recipe
from xception.train.schedule import Moment
from xception.train.step_events import StepEvents
from xception.train.storage import Storage, open_storage
from xception.train.validation import VALIDATION
from xception.weights import weights_bytes

BUNDLE = "bundle"
"""Name of the bundle in the folder of its run."""


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
    if not isinstance(recipe, Recipe):
        recipe = load_recipe(recipe)
    own = OwnParts(loss=loss, optimizer=optimizer, schedule=schedule, augment=augment, callbacks=tuple(callbacks))
    recipe, sources = _with_data(recipe, data, validation)
    options = _Options(resume=resume, workers=workers, keep=keep, save_every=save_every, like=like, on_note=on_note)
    with closing(open_storage(out)) as storage:
        search = None
        if find_lr:
            recipe, search = _with_rate(recipe, sources, own, storage, options)
        parts = assemble(recipe, sources, own=own, on_note=on_note)
        return _train_at(storage, recipe, parts, own, options, search)


@dataclass(frozen=True, kw_only=True)
class _Options:
    """Arguments of `train_network` that do not decide the weights."""

    resume: bool
    workers: int | None
    keep: int
    save_every: int | None
    like: RunManifest | None
    on_note: Callable[[str], None]


def _train_at(
    storage: Storage, recipe: Recipe, parts: Parts, own: OwnParts, options: _Options, search: RateSearch | None
) -> Bundle:
    """Claim the place of the run, and train there unless its bundle is finished."""
    manifest, like, on_note = describe_run(recipe, parts), options.like, options.on_note
    if like:
        check_same_data(like, manifest, "the run to repeat")
    earlier, finished = from_first(parts.fabric, lambda: _claim(storage, manifest, options))
    if finished:
        return finished
    if search and parts.fabric.is_global_zero:
        storage.write(RATE_SEARCH, json_document(search))
    run = TrainingRun(
        parts,
        storage,
        _restored(storage, options.keep, parts, on_note),
        RunningTraining(recipe=recipe, course=parts.course, place=storage.place, state=parts.state, note=on_note),
        (StepEvents(storage), *own.callbacks),
        options.workers,
        save_every=options.save_every,
        publishes_best=recipe.publish == "best",
    )
    if earlier is None and like is None and parts.fabric.is_global_zero:
        _say(remarks(recipe, parts), on_note)
    return _train(run, _continued(storage, manifest, earlier, parts, on_note))


def _with_rate(
    recipe: Recipe,
    sources: tuple[Source, Source] | None,
    own: OwnParts,
    storage: Storage,
    options: _Options,
) -> tuple[Recipe, RateSearch | None]:
    """The recipe with a rate that is searched for, or with that of the run to resume."""
    _refuse_taken(storage, resume=options.resume)
    found = read_manifest(storage) if options.resume else None
    if found is None:
        return search_rate(recipe, sources, own=own, workers=options.workers, on_note=options.on_note)
    rate = found.recipe.optim.lr
    return msgspec.structs.replace(recipe, optim=msgspec.structs.replace(recipe.optim, lr=rate)), None


def _refuse_taken(storage: Storage, *, resume: bool) -> None:
    """Refuse a place that holds something which is not to be resumed.

    Raises:
        InputError: it does.
    """
    if storage.names() and not resume:
        raise InputError(
            f"{storage.place} is not empty; pass --resume to continue the run in it, or choose another place"
        )


def _train(run: TrainingRun, manifest: RunManifest) -> Bundle:
    """Train to the end of the run, and publish its bundle."""
    parts = run.parts
    for callback in run.heard:
        callback.on_start(run.running)
    with noted_signals() as run.request:
        validation = run.train()
        if manifest.recipe.publish == "best":
            validation = run.return_to_best()
        if isinstance(parts.state.network, FakeQuantized):
            validation = run.judge(parts.state.network.plain())
    if parts.fabric.is_global_zero:
        _say(result_remarks(parts.state.progress.history, len(parts.batches.source.classes)), run.running.note)
    bundle = from_first(parts.fabric, lambda: _publish(run.storage, parts, manifest, validation))
    for callback in run.heard:
        callback.on_end(run.running, bundle)
    return bundle


def _say(sentences: Iterable[str], on_note: Callable[[str], None]) -> None:
    for sentence in sentences:
        on_note(sentence)


def _restored(storage: Storage, keep: int, parts: Parts, on_note: Callable[[str], None]) -> Checkpoints:
    """The checkpoints of a run, whose newest state is taken over if there is any."""
    checkpoints = Checkpoints(storage, keep, on_note, parts.course.figure)
    found = from_first(parts.fabric, checkpoints.load)
    if found:
        restore(parts.state, found[1], found[0])
    return checkpoints


def _with_data(
    recipe: Recipe, data: str | Path | Source | None, validation: str | Path | Source | None
) -> tuple[Recipe, tuple[Source, Source] | None]:
    """The recipe with the places of data in files, and the parts of data that are not all in files."""
    if data is None and validation is None:
        return recipe, None
    given: str | Source = recipe.data.source if data is None else _place(data)
    own = None if validation is None else _place(validation)
    if isinstance(given, str) and (own is None or isinstance(own, str)):
        settings = msgspec.structs.replace(recipe.data, source=given, validation=own or recipe.data.validation)
        return msgspec.structs.replace(recipe, data=settings), None
    return recipe, open_halves(given, own, recipe.data.hold_out)


def _place(data: str | Path | Source) -> str | Source:
    return str(data) if isinstance(data, Path) else data


def write_result(
    path: Path,
    bundle: Bundle,
    network: Xception,
    metrics: dict[str, Score],
    digests: Digests,
    images: Sequence[Image8] = (),
) -> Bundle:
    """Write an empty bundle with the weights of a network, the scores that it reached and the images that it saw.

    A bundle of the same run is replaced. For `images` see `answer_goldens`.
    """
    model = msgspec.structs.replace(bundle.model, metrics=metrics)
    files = with_identity({"weights.safetensors": weights_bytes(network.tensors())}, model, bundle.labels)
    files[TRAINING_IMAGES] = digests_bytes(digests)
    if isinstance(network, FakeQuantized):
        files |= network.bundle_files()
    return write_with_goldens(path, model, bundle.labels, files, images=images, overwrite=True)


def _claim(storage: Storage, manifest: RunManifest, options: _Options) -> tuple[RunManifest | None, Bundle | None]:
    """Take the place of the run; returns the manifest of the run there, and its bundle if it is finished.

    Raises:
        InputError: the place holds something that is not to be resumed, or another run.
    """
    _refuse_taken(storage, resume=options.resume)
    storage.claim()
    found = read_manifest(storage)
    if found:
        check_same_recipe(found, manifest, storage.place)
        check_same_data(found, manifest, f"the run in {storage.place}")
    for earlier in filter(None, (found, options.like)):
        if differences := differing_surroundings(earlier, manifest):
            options.on_note(f"the last bits of the weights may differ from the earlier run's: {'; '.join(differences)}")
    if options.like and options.like.stages:
        options.on_note("the repeated run was prolonged and this one is not, so their weights will differ")
    if not found:
        write_manifest(storage, manifest)
    is_as_long = found is not None and found.recipe_digest == manifest.recipe_digest
    return found, storage.published(BUNDLE) if is_as_long else None


def _continued(
    storage: Storage,
    manifest: RunManifest,
    earlier: RunManifest | None,
    parts: Parts,
    on_note: Callable[[str], None],
) -> RunManifest:
    """The manifest of a run that goes on with the `earlier` one; if its length is another, that is written and said.

    Raises:
        InputError: more epochs are finished than the run is to have.
    """
    if earlier is None or earlier.recipe_digest == manifest.recipe_digest:
        return earlier or manifest
    progress, before = parts.state.progress, earlier.recipe.epochs
    progress.ended_by = ""
    if len(progress.history) > parts.course.epochs:
        raise InputError(
            f"the run in {storage.place} has finished {len(progress.history)} epochs, and is to have "
            f"{parts.course.epochs}; expected as many at least"
        )
    length = EarlierLength(epochs=before, until_step=progress.step)
    manifest = msgspec.structs.replace(manifest, stages=(*earlier.stages, length))
    if parts.fabric.is_global_zero:
        write_manifest(storage, manifest)
        step, course = min(progress.step, parts.course.total_steps - 1), parts.course
        on_note(
            f"the run goes on after step {progress.step} with {course.epochs} epochs in place of {before}; "
            f"the schedule now spans {course.total_steps} steps, and goes on with the rate "
            f"{parts.stepper.learning_rate(step, progress.validation_losses):.3g}"
        )
    return manifest


def _publish(storage: Storage, parts: Parts, manifest: RunManifest, validation: Evaluation) -> Bundle:
    storage.write(VALIDATION, json_document(validation))
    metrics = {parts.validation.name: validation.score()} if validation.total else {}
    digests = np.concatenate([parts.batches.digests.all(), parts.parent_digests])
    bundle = _with_stages(parts.bundle, manifest.stages)
    written = (bundle, parts.state.published, metrics, digests, parts.golden_images)
    return storage.publish(BUNDLE, lambda path: write_result(path, *written))


def _with_stages(bundle: Bundle, stages: tuple[EarlierLength, ...]) -> Bundle:
    """The bundle with earlier lengths of the run in its lineage, since they decided the weights too."""
    if not stages:
        return bundle
    *before, last = bundle.model.lineage
    lengths = "; ".join(f"{stage.epochs} until step {stage.until_step}" for stage in stages)
    step = msgspec.structs.replace(last, settings=last.settings | {"earlier_epochs": lengths})
    return replace(bundle, model=msgspec.structs.replace(bundle.model, lineage=(*before, step)))
