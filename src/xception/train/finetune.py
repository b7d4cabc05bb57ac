"""Fine-tuning: start from the weights of a bundle, and let the parts of the network learn one after the other."""

from collections.abc import Iterator, Sequence

import numpy as np
from torch import nn

from xception.arch.compute import CLASSIFIER_BIAS, CLASSIFIER_WEIGHT
from xception.arch.spec import with_classes
from xception.bundle import Bundle
from xception.convert.input_channels import StemRule, adapt_stem
from xception.errors import InputError, UsageError
from xception.labels import Labels
from xception.models.network import Xception
from xception.resolve import resolve_model
from xception.train.settings import FreezeSettings, ModelSettings
from xception.weights import with_new_classifier


def open_start(start: str) -> Bundle:
    """Open a model to start training from, by whatever names it: see `resolve_model`.

    Raises:
        UsageError: no model is named, or a bundle that holds a graph instead of weights.
        InputError: it cannot be opened.
        EnvironmentFault: it is to be fetched and cannot be.
    """
    if not start:
        raise UsageError("this recipe starts from a trained network; pass --from MODEL, or --set model.start=MODEL")
    parent = resolve_model(start)
    if parent.model.form != "weights":
        raise UsageError(
            f"{start} is a graph ({parent.model.form}), which cannot be trained; expected a bundle of weights, "
            "such as the one that it was exported from"
        )
    return parent


def open_parent(settings: ModelSettings) -> Bundle | None:
    """Open the bundle that a recipe's network starts from; None if it starts from random weights.

    Raises:
        InputError: it cannot be opened, or is another one than the recipe was resolved with.
    """
    if settings.start is None:
        return None
    parent = open_start(settings.start)
    if parent.model.digest != settings.parent:
        raise InputError(
            f"{settings.start} is not the bundle that this recipe starts from "
            f"(expected digest {(settings.parent or 'none')[:12]}, got {parent.model.digest[:12]}); get that one back"
        )
    return parent


def starting_tensors(parent: Bundle, in_channels: int, classes: Sequence[str]) -> dict[str, np.ndarray]:
    """The parent's tensors for images of `in_channels` channels and for these classes.

    A classifier that knows all the classes keeps what it knows of them, in their order; any other is started anew,
    with zeros, as conversion does, and so is that of a parent without one.
    """
    rule: StemRule = "sum" if in_channels == 1 else "repeat"
    tensors = adapt_stem(parent.tensors(), in_channels, rule)
    rows = _known(parent.labels, classes)
    if rows is None:
        return with_new_classifier(tensors, with_classes(parent.model.network.architecture(), len(classes)))
    return tensors | {name: tensors[name][rows] for name in (CLASSIFIER_WEIGHT, CLASSIFIER_BIAS)}


def set_learning(network: Xception, settings: FreezeSettings, epoch: int) -> None:
    """Put the network into the training mode of epoch `epoch`, counted from 0.

    A part that does not learn yet neither drops anything at random nor uses the statistics of its batch, so that it
    computes the very function that was trained before.
    """
    network.train()
    for part, first_epoch in _parts(network, settings):
        learns = epoch >= first_epoch
        part.requires_grad_(learns)
        part.train(learns)
    if settings.norm_statistics:
        for module in network.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()


def _parts(network: Xception, settings: FreezeSettings) -> Iterator[tuple[nn.Module, int]]:
    """Every part of the network with the first epoch in which it learns."""
    first_epochs = {"entry": settings.entry_until, "middle": settings.middle_until, "exit": settings.exit_until}
    yield network.stem, first_epochs["entry"]
    for block, spec in zip(network.blocks, network.spec.blocks, strict=True):
        yield block, first_epochs[spec.flow]
    yield network.head, 0


def _known(labels: Labels, classes: Sequence[str]) -> list[int] | None:
    """Places of the classes among the labels, or None if one of them is missing."""
    try:
        return list(labels.targets(classes))
    except InputError:
        return None
