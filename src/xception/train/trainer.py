"""Training a network: from a recipe and data to a bundle."""

from collections.abc import Callable
from pathlib import Path
from time import time

import torch
from lightning_fabric import Fabric
from torch import nn

from xception.arch.spec import Architecture
from xception.bundle import Bundle, Score
from xception.data.source import Source
from xception.data.sources import open_source
from xception.errors import InputError
from xception.models.network import build
from xception.train.average import averaged
from xception.train.batches import Batches
from xception.train.checkpoint import Checkpoints
from xception.train.distributed import from_first, launch
from xception.train.finetune import parent_of, starting_tensors
from xception.train.interruption import noted_signals
from xception.train.loop import Listeners, Parts, Run, StepReport
from xception.train.losses import Loss, loss_of
from xception.train.manifest import (
    RunManifest,
    changes,
    check_same_data,
    check_same_recipe,
    manifest_of,
    read_manifest,
    write_manifest,
)
from xception.train.optim import optimizer, scaling_remark
from xception.train.recipe import Recipe
from xception.train.result import described, written
from xception.train.schedule import Course
from xception.train.settings import DataSettings
from xception.train.state import Epoch, Progress, TrainingState, restore
from xception.train.step import Stepper
from xception.train.storage import Storage, open_storage

BUNDLE = "bundle"


def train_network(
    recipe: Recipe,
    out: Path | str,
    *,
    resume: bool = False,
    workers: int = 2,
    keep: int = 2,
    like: RunManifest | None = None,
    on_step: Callable[[StepReport], None] = lambda _: None,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
    on_note: Callable[[str], None] = lambda _: None,
) -> Bundle:
    """Train a network and write `out/bundle`; `out` also holds `run.json`, checkpoints and logs, a row an epoch.

    On a CPU the weights depend on the recipe, the data and torch's number of threads alone: an interrupted
    and resumed run ends with the same bits, and so does one with another number of workers.

    Args:
        recipe: what to do.
        out: folder of the run, or a URL such as `s3://bucket/run`; the bundle of such a run is also put here,
            into a temporary folder, and returned from there.
        resume: go on with the run that lies at `out`, if there is one.
        workers: threads that prepare batches.
        keep: how many of the last checkpoints to keep, besides the best.
        like: the run to repeat, whose data are insisted on.
        on_step: told after each step.
        on_epoch: told after each epoch.
        on_note: told in a sentence what else a person should know.

    Raises:
        InputError: `out` is taken, data that cannot be read, a checkpoint of another run.
        EnvironmentFault: `out` cannot be written.
        CheckFailed: the loss or the weights are no longer numbers.
        Stopped: SIGTERM or SIGINT came; everything is saved.
    """
    parts = assemble(recipe)
    storage = open_storage(out)
    listeners = Listeners(on_step=on_step, on_epoch=on_epoch, on_note=on_note)
    if like:
        check_same_data(like, parts.batches, "the run to repeat")
    finished = from_first(parts.fabric, lambda: _claimed(storage, parts, like, listeners, resume=resume))
    if finished:
        return finished
    if parts.fabric.is_global_zero and (remark := scaling_remark(recipe.optim, recipe.batch_size)):
        on_note(remark)
    checkpoints = Checkpoints(storage, keep, on_note)
    found = from_first(parts.fabric, checkpoints.load)
    if found:
        restore(parts.state, found[1], found[0])
    run = Run(parts, storage, checkpoints, listeners, workers)
    with noted_signals() as run.request:
        score = run.train()
        if recipe.publish == "best":
            score = run.return_to_best()
    return from_first(parts.fabric, lambda: _published(storage, parts, score))


def assemble(recipe: Recipe) -> Parts:
    """Everything of a run but its place, with a fresh state on its device.

    Raises:
        InputError: data that cannot be read.
        UsageError: settings that do not fit the network, the data or the machine.
    """
    fabric, scaler = launch(recipe.compute, is_staged=recipe.freeze.is_staged)
    training, validation = open_parts(recipe.data)
    batches = Batches(training, recipe, fabric.global_rank, fabric.world_size)
    bundle = described(recipe, training)
    state = initial_state(recipe, bundle.model.network.architecture(), batches)
    state.scaler = scaler
    stepper = set_up(fabric, recipe, state, loss_of(recipe, batches.class_counts), batches.per_epoch)
    return Parts(fabric, recipe, batches, validation, bundle, state, stepper)


def open_parts(data: DataSettings) -> tuple[Source, Source]:
    """The training and the validation part.

    Raises:
        InputError: there are no such data, or validation has a class that training lacks.
    """
    # A shipped recipe names the data set that it is for by a word, where a path is needed.
    if data.source.isidentifier() and data.source != "digits" and not Path(data.source).exists():
        raise InputError(f"there are no data at {data.source!r}; pass --data with the path or URL where they lie")
    if data.validation is None:
        training, validation = open_source(data.source, "train"), open_source(data.source, "validation")
    else:
        training, validation = open_source(data.source), open_source(data.validation)
    unknown = sorted(set(validation.classes) - set(training.classes))
    if unknown:
        raise InputError(
            f"{len(unknown)} of the {len(validation.classes)} classes of the validation data, such as {unknown[0]!r}, "
            f"are not among the {len(training.classes)} classes of the training data; expected the same classes in both"
        )
    return training, validation


def initial_state(recipe: Recipe, spec: Architecture, batches: Batches) -> TrainingState:
    """A fresh network and its optimiser, which the recipe's seed decides."""
    torch.manual_seed(recipe.seed)
    parent = parent_of(recipe.model)
    start = starting_tensors(parent, spec.in_channels, batches.source.classes) if parent else None
    network = build(recipe.model.trained(spec), start)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    source = batches.source
    progress = Progress(
        recipe=recipe.digest,
        data=batches.fingerprint,
        classes=len(source.classes),
        images=len(source),
        started_at=time(),
    )
    average = averaged(network) if recipe.average else None
    return TrainingState(network, optimizer(network, recipe.optim), progress, average)


def set_up(fabric: Fabric, recipe: Recipe, state: TrainingState, loss: Loss, steps_per_epoch: int) -> Stepper:
    """Move the state to its device and make it known to the other processes."""
    module: nn.Module = state.network
    if recipe.compute.sync_norm:
        # Replaces the norms inside the network, which keeps its own class and tensors.
        nn.SyncBatchNorm.convert_sync_batchnorm(module)  # type: ignore[no-untyped-call]
    if recipe.compute.compile:
        module = torch.compile(module)  # type: ignore[assignment]
    wrapped, wrapped_optimizer = fabric.setup(module, state.optimizer)
    if state.average is not None:
        state.average.to(fabric.device)
    course = Course(steps_per_epoch=steps_per_epoch, epochs=recipe.epochs, batch_size=recipe.batch_size)
    return Stepper(fabric, wrapped, wrapped_optimizer, recipe, loss, course)


def _claimed(
    storage: Storage, parts: Parts, like: RunManifest | None, listeners: Listeners, *, resume: bool
) -> Bundle | None:
    """Take the place of the run; returns the bundle of one that is finished there.

    Raises:
        InputError: something lies there that is not to be resumed, or another run.
    """
    if storage.names() and not resume:
        raise InputError(
            f"{storage.place} is not empty; pass --resume to continue the run in it, or choose another place"
        )
    storage.claim()
    found = read_manifest(storage)
    if found:
        check_same_recipe(found, parts.recipe, storage.place)
        check_same_data(found, parts.batches, f"the run in {storage.place}")
    here = manifest_of(parts.recipe, parts.batches, parts.fabric.device.type)
    for earlier in filter(None, (found, like)):
        if changed := changes(earlier, here):
            listeners.on_note(f"the last bits of the weights may differ from the earlier run's: {'; '.join(changed)}")
    if not found:
        write_manifest(storage, here)
    return storage.published(BUNDLE)


def _published(storage: Storage, parts: Parts, score: Score) -> Bundle:
    metrics = {parts.validation.name: score}
    return storage.publish(BUNDLE, lambda path: written(path, parts.bundle, parts.state.judged, metrics))
