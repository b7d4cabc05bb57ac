"""The bundle that a run makes: described before the first step, written after the last one."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import msgspec
import numpy as np
import torch

from xception.bundle import Bundle, Model, Network, Score, Step
from xception.data.source import Source
from xception.data.training_images import TRAINING_IMAGES, Digests, digests_bytes
from xception.errors import UsageError
from xception.goldens import Image8, write_with_goldens
from xception.identity.identity import with_identity
from xception.labels import Labels
from xception.models.network import Xception
from xception.outputs import json_document
from xception.tasks.evaluation import Evaluation
from xception.train.manifest import EarlierLength, RunManifest
from xception.train.own_parts import digest_with
from xception.train.qat import FakeQuantized
from xception.train.recipe import Recipe
from xception.train.setup import TrainingSetup
from xception.train.storage import Storage
from xception.train.validation import VALIDATION
from xception.weights import weights_bytes

BUNDLE = "bundle"
"""Name of the bundle in the folder of its run."""


def empty_bundle(
    recipe: Recipe, source: Source, parent: Bundle | None = None, own: Mapping[str, str] = MappingProxyType({})
) -> Bundle:
    """The bundle that a run on `source` is to make, without weights, metrics and a place."""
    labels = output_classes(recipe, source.classes)
    network = Network(
        variant=recipe.model.variant,
        num_classes=len(labels),
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
        settings={
            "recipe": digest_with(recipe.digest, own),
            "data": source.name,
            "epochs": recipe.epochs,
            "seed": recipe.seed,
            **{f"own_{what}": description for what, description in own.items()},
        },
    )
    model = Model(
        name=f"{recipe.model.variant}.{source.name.partition(':')[0]}",
        network=network,
        form="weights",
        precision="float32",
        activation="sigmoid" if recipe.loss.name == "binary_cross_entropy" else "softmax",
        preprocess=recipe.preprocess,
        lineage=(*(parent.model.lineage if parent else ()), step),
    )
    return Bundle(path=Path(), model=model, labels=Labels(labels))


def output_classes(recipe: Recipe, classes: Sequence[str]) -> tuple[str, ...]:
    """The classes that the network has outputs for.

    Raises:
        UsageError: a single output for another loss than that of sigmoids, or for data of other than two classes.
    """
    positive = recipe.model.positive
    if positive is None:
        return tuple(classes)
    if recipe.loss.name != "binary_cross_entropy" or len(classes) != 2 or positive not in classes:
        raise UsageError(
            f"model.positive {positive!r} asks for a single output; expected loss.name=binary_cross_entropy and data "
            f"of two classes, one of them {positive!r}; got {recipe.loss.name} and {', '.join(classes[:4])}"
        )
    return (positive,)


def publish(storage: Storage, setup: TrainingSetup, manifest: RunManifest, validation: Evaluation) -> Bundle:
    """Write the figures of a finished run, and its bundle, whole or not at all; returns a local copy.

    Args:
        storage: the place of the run.
        setup: its state holds the weights.
        manifest: its description, with its earlier lengths.
        validation: the figures of these weights on the validation part.
    """
    storage.write(VALIDATION, json_document(validation))
    metrics = {setup.validation.name: validation.score()} if validation.total else {}
    digests = np.concatenate([setup.batches.digests.all(), setup.parent_digests])
    bundle = _with_stages(setup.bundle, manifest.stages)
    written = (bundle, setup.state.published, metrics, digests, setup.golden_images)
    return storage.publish(BUNDLE, lambda path: write_result(path, *written))


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


def _with_stages(bundle: Bundle, stages: tuple[EarlierLength, ...]) -> Bundle:
    """The bundle with earlier lengths of the run in its lineage, since they decided the weights too."""
    if not stages:
        return bundle
    *before, last = bundle.model.lineage
    lengths = "; ".join(f"{stage.epochs} until step {stage.until_step}" for stage in stages)
    step = msgspec.structs.replace(last, settings=last.settings | {"earlier_epochs": lengths})
    return replace(bundle, model=msgspec.structs.replace(bundle.model, lineage=(*before, step)))
