"""The assembly of a run from its recipe and data: batches, network, optimiser and step."""

from collections.abc import Callable
from math import ceil
from time import time

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import nn

from xception.bundle import Bundle
from xception.data.source import Lazy, Source, data_fingerprint
from xception.data.training_images import Digests, training_images
from xception.goldens import images_of
from xception.models.network import build
from xception.train.advice import class_counts, color_remark, data_remarks, norm_remark, require_trainable
from xception.train.average import copy_as_average
from xception.train.batch_augment import BatchAugment
from xception.train.batches import Batches, TrainingImages, steps_per_epoch
from xception.train.damaged import unreadable, without
from xception.train.distributed import from_first, launch
from xception.train.figures import deciding_figure, monitor_remark
from xception.train.finetune import open_parent, starting_tensors
from xception.train.losses import Loss, label_set_loss, make_loss
from xception.train.own_parts import NO_PARTS, OwnParts, digest_with
from xception.train.parameter_groups import make_optimizer, peak_rate, scaled, scaling_remark
from xception.train.qat import fake_quantized
from xception.train.recipe import Recipe
from xception.train.result import empty_bundle
from xception.train.schedule import Course, LearningRate
from xception.train.setup import TrainingSetup
from xception.train.state import Progress, TrainingState
from xception.train.step import Stepper
from xception.train.training_data import DataHalves, check_known_classes, of_the_same_kind, open_training_data

MIN_COMPILED_STEPS = 1000
"""Steps per image size from which compiling, half a minute per size on a GPU, is shorter than what it saves."""


def assemble(
    recipe: Recipe,
    halves: DataHalves | None = None,
    *,
    own: OwnParts = NO_PARTS,
    on_note: Callable[[str], None] = lambda _: None,
) -> TrainingSetup:
    """Set a run up as its recipe says, with a fresh state on its device.

    Args:
        recipe: the configuration.
        halves: training and validation data, in place of those that the recipe names.
        own: parts in place of the recipe's.
        on_note: called with a sentence on images that are left out.

    Raises:
        InputError: data cannot be read, or nothing can be learned from them.
        UsageError: settings do not fit the network, the data or the machine.
    """
    fabric, scaler = launch(recipe.compute, is_staged=recipe.freeze.is_staged)
    training, validation = halves or open_training_data(recipe.data)
    check_known_classes(training, validation)
    if recipe.data.skip_damaged:
        faults = from_first(fabric, lambda: unreadable(training))
        training = without(training, faults, on_note if fabric.is_global_zero else lambda _: None)
    batches = make_batches(recipe, training, own, rank=fabric.global_rank, world=fabric.world_size)
    validation = of_the_same_kind(validation, recipe, are_sets=batches.multi_label)
    require_trainable(recipe, training, validation, batches.class_counts)
    parent = open_parent(recipe.model)
    descriptions = own.descriptions()
    bundle = empty_bundle(recipe, training, parent, descriptions)
    state = _initial_state(recipe, bundle, batches, parent, own, fabric.device.type)
    state.progress.recipe = digest_with(recipe.step_digest, descriptions)
    state.scaler = scaler
    course = Course(
        steps_per_epoch=batches.per_epoch,
        epochs=recipe.epochs,
        batch_size=recipe.batch_size,
        figure=deciding_figure(recipe.monitor, batches.class_counts, multi_label=batches.multi_label),
        stop_after=recipe.stop_after,
        validate_every=recipe.validate_every,
    )
    return TrainingSetup(
        fabric=fabric,
        course=course,
        freeze=recipe.freeze,
        batches=batches,
        validation=validation,
        in_files=halves is None,
        bundle=bundle,
        state=state,
        stepper=_stepper(recipe, fabric, state, batches, course, own),
        parent_digests=_digests(parent),
        golden_images=images_of(parent),
        own_parts=descriptions,
    )


def _digests(parent: Bundle | None) -> Digests:
    known = training_images(parent) if parent else None
    return np.zeros(0, np.uint64) if known is None else known


def remarks(recipe: Recipe, setup: TrainingSetup) -> list[str]:
    """Sentences on what a person should know of a run before its first step."""
    source, counts = setup.batches.source, setup.batches.class_counts
    decides = recipe.publish == "best" or recipe.stop_after is not None
    norms = setup.state.network.spec.norm.momentum
    held_out = class_counts(setup.validation, source.classes)
    is_divided = isinstance(setup.validation, Lazy) and setup.validation.whole is not None
    found = (
        scaling_remark(recipe.optim, recipe.batch_size),
        monitor_remark(recipe.monitor, source.classes, counts, multi_label=setup.batches.multi_label)
        if decides
        else None,
        None if recipe.model.start else norm_remark(norms, setup.course.total_steps),
        color_remark(recipe.preprocess, source),
        *data_remarks(source, counts, held_out, is_divided=is_divided and recipe.data.validation is None),
    )
    return [remark for remark in found if remark]


def make_batches(recipe: Recipe, source: Source, own: OwnParts = NO_PARTS, *, rank: int = 0, world: int = 1) -> Batches:
    """The batches of process `rank` of `world`."""
    per_epoch = steps_per_epoch(len(source), recipe.batch_size, drop_last=recipe.drop_last)
    changes = BatchAugment(
        augment=recipe.augment,
        mix=recipe.mix,
        preprocess=recipe.preprocess,
        num_classes=len(source.classes),
        steps_per_epoch=per_epoch,
        seed=recipe.seed,
        rank=rank,
    )
    images = TrainingImages(
        augment=recipe.augment,
        preprocess=recipe.preprocess,
        progressive=recipe.progressive,
        seed=recipe.seed,
        own_augment=own.augment,
    )
    return Batches(
        source,
        images,
        changes,
        batch_size=recipe.batch_size,
        sampling=recipe.sampling,
        drop_last=recipe.drop_last,
        rank=rank,
        world=world,
    )


def _initial_state(
    recipe: Recipe, bundle: Bundle, batches: Batches, parent: Bundle | None, own: OwnParts, device: str
) -> TrainingState:
    """A new network and its optimiser, decided by the recipe's seed."""
    torch.manual_seed(recipe.seed)
    source, spec = batches.source, recipe.model.trained(bundle.model.network.architecture())
    start = starting_tensors(parent, spec.in_channels, bundle.labels.names) if parent else None
    trained = build(spec, start)
    if recipe.qat is not None:
        trained = fake_quantized(trained, recipe.qat, recipe.preprocess)
    trained.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    progress = Progress(
        recipe=recipe.step_digest,
        data=data_fingerprint(source),
        classes=len(source.classes),
        images=len(source),
        started_at=time(),
    )
    average = copy_as_average(trained) if recipe.average else None
    return TrainingState(trained, make_optimizer(trained, recipe.optim, own.optimizer, device), progress, average)


def _stepper(
    recipe: Recipe, fabric: Fabric, state: TrainingState, batches: Batches, course: Course, own: OwnParts
) -> Stepper:
    """Move the state to its device, make it known to the other processes, and build the step."""
    module: nn.Module = state.network
    if recipe.compute.sync_norm:
        # Replaces the norms inside the network, which keeps its own class and tensors.
        nn.SyncBatchNorm.convert_sync_batchnorm(module)  # type: ignore[no-untyped-call]
    whole = _compiled_images(recipe, fabric, course)
    if whole:
        module = torch.compile(module, dynamic=False)  # type: ignore[assignment]
    classes = batches.source.classes
    positive = None if recipe.model.positive is None else classes.index(recipe.model.positive)
    wrapped, wrapped_optimizer = fabric.setup(module, state.optimizer)
    if state.average is not None:
        state.average.to(fabric.device)
    return Stepper(
        fabric=fabric,
        network=wrapped,
        optimizer=wrapped_optimizer,
        learning_rate=LearningRate(
            scaled(recipe.schedule, recipe.optim, recipe.batch_size),
            peak_rate(recipe.optim, recipe.batch_size),
            course,
            own.schedule,
        ),
        augment=batches.augment,
        loss=own.loss or _loss(recipe, batches, positive),
        seed=recipe.seed,
        accumulate=recipe.compute.accumulate,
        clip_norm=recipe.optim.clip_norm,
        average=recipe.average,
        compiled_images=whole,
    )


def _loss(recipe: Recipe, batches: Batches, positive: int | None) -> Loss:
    if batches.multi_label:
        return label_set_loss(recipe.loss, batches.class_counts, len(batches.source))
    return make_loss(recipe.loss, batches.class_counts, blends_images=recipe.mix.is_on, positive=positive)


def _compiled_images(recipe: Recipe, fabric: Fabric, course: Course) -> int | None:
    """Images of a part for which the network is to be compiled; None if it is not."""
    sizes = len(recipe.progressive) + 1
    pays = fabric.device.type == "cuda" and course.total_steps >= MIN_COMPILED_STEPS * sizes
    if not (pays if recipe.compute.compile == "auto" else recipe.compute.compile):
        return None
    return ceil(ceil(recipe.batch_size / fabric.world_size) / recipe.compute.accumulate)
