"""Training from a recipe to a bundle: assemble the parts of a run, claim its place, train and publish."""

from collections.abc import Callable, Iterator
from pathlib import Path
from time import time

import msgspec
import torch
from lightning_fabric import Fabric
from torch import nn

from xception.bundle import Bundle, Model, Network, Score, Step, write_bundle
from xception.data.source import Source
from xception.data.sources import open_source
from xception.errors import InputError
from xception.labels import Labels
from xception.models.network import Xception, build
from xception.train.batches import Batches, TrainingImages
from xception.train.checkpoint import Checkpoints, restore
from xception.train.distributed import from_first, launch
from xception.train.figures import deciding_figure, monitor_remark
from xception.train.finetune import open_parent, starting_tensors
from xception.train.interruption import noted_signals
from xception.train.logs import Epoch
from xception.train.loop import Listeners, Parts, StepReport, TrainingRun
from xception.train.losses import make_loss
from xception.train.manifest import (
    RunManifest,
    check_same_data,
    check_same_recipe,
    describe_run,
    differing_surroundings,
    read_manifest,
    write_manifest,
)
from xception.train.optim import copy_as_average, make_optimizer, peak_rate, scaling_remark
from xception.train.recipe import Recipe, load_recipe
from xception.train.schedule import Course, LearningRate
from xception.train.settings import DataSettings
from xception.train.state import Progress, TrainingState
from xception.train.step import BatchAugment, Stepper
from xception.train.storage import Storage, open_storage
from xception.weights import weights_bytes

BUNDLE = "bundle"
"""Name of the bundle in the folder of its run."""


def train_network(
    recipe: Recipe | str | Path,
    out: str | Path,
    *,
    resume: bool = False,
    workers: int = 2,
    keep: int = 2,
    like: RunManifest | None = None,
    on_step: Callable[[StepReport], None] = lambda _: None,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
    on_note: Callable[[str], None] = lambda _: None,
) -> Bundle:
    """Train a network and write `out/bundle`; `out` also holds `run.json`, checkpoints and logs, one row per epoch.

    On a CPU the weights depend only on the recipe, the data and torch's number of threads: an interrupted
    and resumed run ends with the same bits, and so does one with another number of workers.

    Args:
        recipe: the configuration, or its name or file, see `load_recipe`.
        out: folder of the run, or a URL such as `s3://bucket/run`; the bundle of such a run is also put here,
            into a temporary folder, and returned from there.
        resume: go on with the run at `out`, if there is one.
        workers: threads that prepare batches.
        keep: number of last checkpoints to keep, in addition to the best.
        like: the run to repeat; its data must be the same.
        on_step: called after each step.
        on_epoch: called after each epoch.
        on_note: called with a sentence on anything else that a person should know.

    Raises:
        InputError: `out` is taken or holds another run, or data cannot be read.
        EnvironmentFault: `out` cannot be written.
        CheckFailed: the loss or the weights are no longer numbers.
        Stopped: SIGTERM or SIGINT came; everything is saved.
    """
    if not isinstance(recipe, Recipe):
        recipe = load_recipe(recipe)
    parts = assemble(recipe)
    manifest = describe_run(recipe, parts.batches, parts.fabric.device.type)
    storage = open_storage(out)
    if like:
        check_same_data(like, manifest, "the run to repeat")
    finished = from_first(parts.fabric, lambda: _claim(storage, manifest, like, on_note, resume=resume))
    if finished:
        return finished
    if parts.fabric.is_global_zero:
        for remark in _remarks(recipe, parts):
            on_note(remark)
    checkpoints = Checkpoints(storage, keep, on_note, parts.course.figure)
    found = from_first(parts.fabric, checkpoints.load)
    if found:
        restore(parts.state, found[1], found[0])
    listeners = Listeners(on_step=on_step, on_epoch=on_epoch, on_note=on_note)
    run = TrainingRun(parts, storage, checkpoints, listeners, workers)
    with noted_signals() as run.request:
        score = run.train()
        if recipe.publish == "best":
            score = run.return_to_best()
    return from_first(parts.fabric, lambda: _publish(storage, parts, score))


def _remarks(recipe: Recipe, parts: Parts) -> Iterator[str]:
    """Sentences on what a person should know of a run before its first step."""
    classes, counts = parts.batches.source.classes, parts.batches.class_counts
    remarks = (
        scaling_remark(recipe.optim, recipe.batch_size),
        monitor_remark(recipe.monitor, classes, counts) if recipe.publish == "best" or recipe.stop_after else None,
    )
    yield from filter(None, remarks)


def assemble(recipe: Recipe, sources: tuple[Source, Source] | None = None) -> Parts:
    """Read a recipe into the parts of a run, with a fresh state on its device.

    Args:
        recipe: the configuration.
        sources: training and validation data, in place of those that the recipe names.

    Raises:
        InputError: data cannot be read.
        UsageError: settings do not fit the network, the data or the machine.
    """
    fabric, scaler = launch(recipe.compute, is_staged=recipe.freeze.is_staged)
    training, validation = sources or open_parts(recipe.data)
    batches = make_batches(recipe, training, rank=fabric.global_rank, world=fabric.world_size)
    parent = open_parent(recipe.model)
    bundle = empty_bundle(recipe, training, parent)
    state = _initial_state(recipe, bundle.model.network, batches, parent)
    state.scaler = scaler
    course = Course(
        steps_per_epoch=batches.per_epoch,
        epochs=recipe.epochs,
        batch_size=recipe.batch_size,
        figure=deciding_figure(recipe.monitor, batches.class_counts),
        stop_after=recipe.stop_after,
    )
    return Parts(
        fabric=fabric,
        course=course,
        freeze=recipe.freeze,
        batches=batches,
        validation=validation,
        bundle=bundle,
        state=state,
        stepper=_stepper(recipe, fabric, state, batches, course),
    )


def open_parts(data: DataSettings) -> tuple[Source, Source]:
    """Open the training and the validation part.

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


def empty_bundle(recipe: Recipe, source: Source, parent: Bundle | None = None) -> Bundle:
    """The bundle that a run on `source` is to make, without weights, metrics and a place."""
    network = Network(
        variant=recipe.model.variant,
        num_classes=len(source.classes),
        in_channels=recipe.preprocess.channels,
        width=recipe.model.width,
    )
    if parent:
        facts = ("variant", "num_classes", "in_channels", "width")
        network = msgspec.structs.replace(parent.model.network, **{name: getattr(network, name) for name in facts})
    step = Step(
        verb="train",
        parent=parent.model.digest if parent else None,
        tools={"torch": str(torch.__version__)},
        settings={"recipe": recipe.digest, "data": source.name, "epochs": recipe.epochs, "seed": recipe.seed},
    )
    model = Model(
        name=f"{recipe.model.variant}.{source.name.partition(':')[0]}",
        network=network,
        form="weights",
        precision="float32",
        preprocess=recipe.preprocess,
        lineage=(*(parent.model.lineage if parent else ()), step),
    )
    return Bundle(path=Path(), model=model, labels=Labels(source.classes))


def write_result(path: Path, bundle: Bundle, network: Xception, metrics: dict[str, Score]) -> Bundle:
    """Write an empty bundle with the weights of a network and the scores that it reached."""
    model = msgspec.structs.replace(bundle.model, metrics=metrics)
    return write_bundle(path, model, bundle.labels, {"weights.safetensors": weights_bytes(network.tensors())})


def make_batches(recipe: Recipe, source: Source, *, rank: int = 0, world: int = 1) -> Batches:
    """The batches of process `rank` of `world`."""
    images = TrainingImages(
        augment=recipe.augment, preprocess=recipe.preprocess, progressive=recipe.progressive, seed=recipe.seed
    )
    return Batches(
        source,
        images,
        batch_size=recipe.batch_size,
        sampling=recipe.sampling,
        rank=rank,
        world=world,
    )


def _initial_state(recipe: Recipe, network: Network, batches: Batches, parent: Bundle | None) -> TrainingState:
    """A new network and its optimiser, decided by the recipe's seed."""
    torch.manual_seed(recipe.seed)
    source, spec = batches.source, recipe.model.trained(network.architecture())
    start = starting_tensors(parent, spec.in_channels, source.classes) if parent else None
    trained = build(spec, start)
    trained.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    progress = Progress(
        recipe=recipe.digest,
        data=batches.fingerprint,
        classes=len(source.classes),
        images=len(source),
        started_at=time(),
    )
    average = copy_as_average(trained) if recipe.average else None
    return TrainingState(trained, make_optimizer(trained, recipe.optim), progress, average)


def _stepper(recipe: Recipe, fabric: Fabric, state: TrainingState, batches: Batches, course: Course) -> Stepper:
    """Move the state to its device, make it known to the other processes, and build the step."""
    module: nn.Module = state.network
    if recipe.compute.sync_norm:
        # Replaces the norms inside the network, which keeps its own class and tensors.
        nn.SyncBatchNorm.convert_sync_batchnorm(module)  # type: ignore[no-untyped-call]
    if recipe.compute.compile:
        module = torch.compile(module)  # type: ignore[assignment]
    wrapped, wrapped_optimizer = fabric.setup(module, state.optimizer)
    if state.average is not None:
        state.average.to(fabric.device)
    return Stepper(
        fabric=fabric,
        network=wrapped,
        optimizer=wrapped_optimizer,
        learning_rate=LearningRate(recipe.schedule, peak_rate(recipe.optim, recipe.batch_size), course),
        augment=BatchAugment(
            augment=recipe.augment,
            mix=recipe.mix,
            preprocess=recipe.preprocess,
            num_classes=len(batches.source.classes),
            steps_per_epoch=course.steps_per_epoch,
            seed=recipe.seed,
            rank=fabric.global_rank,
        ),
        loss=make_loss(recipe.loss, batches.class_counts, blends_images=recipe.mix.is_on),
        seed=recipe.seed,
        accumulate=recipe.compute.accumulate,
        clip_norm=recipe.optim.clip_norm,
        average=recipe.average,
    )


def _claim(
    storage: Storage,
    manifest: RunManifest,
    like: RunManifest | None,
    on_note: Callable[[str], None],
    *,
    resume: bool,
) -> Bundle | None:
    """Take the place of the run; returns the bundle if the run there is finished.

    Raises:
        InputError: the place holds something that is not to be resumed, or another run.
    """
    if storage.names() and not resume:
        raise InputError(
            f"{storage.place} is not empty; pass --resume to continue the run in it, or choose another place"
        )
    storage.claim()
    found = read_manifest(storage)
    if found:
        check_same_recipe(found, manifest, storage.place)
        check_same_data(found, manifest, f"the run in {storage.place}")
    for earlier in filter(None, (found, like)):
        if differences := differing_surroundings(earlier, manifest):
            on_note(f"the last bits of the weights may differ from the earlier run's: {'; '.join(differences)}")
    if not found:
        write_manifest(storage, manifest)
    return storage.published(BUNDLE)


def _publish(storage: Storage, parts: Parts, score: Score) -> Bundle:
    metrics = {parts.validation.name: score}
    return storage.publish(BUNDLE, lambda path: write_result(path, parts.bundle, parts.state.published, metrics))
