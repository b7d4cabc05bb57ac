"""What a run makes: the bundle's document, before there are weights and with them."""

from pathlib import Path

import msgspec
import torch

from xception.bundle import Bundle, Model, Network, Score, Step, write_bundle
from xception.data.source import Source
from xception.labels import Labels
from xception.models.network import Xception
from xception.train.finetune import parent_of
from xception.train.recipe import Recipe
from xception.weights import weights_bytes


def described(recipe: Recipe, source: Source) -> Bundle:
    """The bundle that a run is to make, without weights, metrics and a place."""
    network = Network(
        variant=recipe.model.variant,
        num_classes=len(source.classes),
        in_channels=recipe.preprocess.channels,
        width=recipe.model.width,
    )
    parent = parent_of(recipe.model)
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


def written(path: Path, bundle: Bundle, network: Xception, metrics: dict[str, Score]) -> Bundle:
    """Write the described bundle with its weights and what they were found to be worth."""
    model = msgspec.structs.replace(bundle.model, metrics=metrics)
    return write_bundle(path, model, bundle.labels, {"weights.safetensors": weights_bytes(network.tensors())})
