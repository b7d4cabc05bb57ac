"""What a recipe leaves to the network that it is for, and training that starts from a bundle's weights."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from xception.arch.compute import CLASSIFIER_BIAS, CLASSIFIER_WEIGHT
from xception.arch.variants import architecture
from xception.bundle import Bundle, open_bundle
from xception.convert.defaults import default_preprocess, with_channels
from xception.convert.input_channels import StemRule, adapt_stem
from xception.errors import InputError, UsageError
from xception.labels import Labels
from xception.preprocess import Preprocess
from xception.train.settings import ModelSettings
from xception.weights import read_weights

CHANNELS = {"gray": 1, "rgb": 3, "bgr": 3}


def completed(document: Mapping[str, Any], *, has_preprocess: bool) -> dict[str, Any]:
    """A recipe's document with what follows from its network.

    Where `model.start` names a bundle, the network is the bundle's, and so is the preprocessing as far as the document
    does not state another. Without one, a recipe that states no preprocessing has that of the variant's first
    published weights.

    Args:
        document: the recipe as TOML has it, with the changes that were asked for.
        has_preprocess: whether it had preprocessing before those changes.

    Raises:
        UsageError: no bundle is named where one is needed, one that is a graph, or another network than its own.
        InputError: it cannot be opened.
    """
    given = document.get("model", {})
    if isinstance(given, dict) and isinstance(given.get("start"), str):
        return _continued(document, given)
    variant = given.get("variant") if isinstance(given, dict) else None
    if has_preprocess or not isinstance(variant, str):
        return dict(document)
    published = default_preprocess(architecture(variant))
    return {**document, "preprocess": _preprocess(published, document.get("preprocess", {}))}


def _continued(document: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The document of a run that starts from the bundle of its settings `given` for the model."""
    parent = _opened(given["start"])
    own = {"variant": parent.model.network.variant, "width": parent.model.network.width}
    for key, value in own.items():
        if given.get(key, value) != value:
            raise UsageError(
                f"model.{key} is {given[key]}, and {given['start']} is a network of {key} {value}; leave it out"
            )
    return {
        **document,
        "model": {"parent": parent.model.digest, **own, **given},
        "preprocess": _preprocess(parent.model.preprocess, document.get("preprocess", {})),
    }


def parent_of(settings: ModelSettings) -> Bundle | None:
    """The bundle that the network starts from.

    Raises:
        InputError: it cannot be opened, or is another one than the recipe was resolved with.
    """
    if settings.start is None:
        return None
    parent = _opened(settings.start)
    if parent.model.digest != settings.parent:
        raise InputError(
            f"{settings.start} is not the bundle that this recipe starts from "
            f"(expected digest {(settings.parent or 'none')[:12]}, got {parent.model.digest[:12]}); get that one back"
        )
    return parent


def starting_tensors(parent: Bundle, in_channels: int, classes: Sequence[str]) -> dict[str, np.ndarray]:
    """The parent's tensors for images of `in_channels` channels and for these classes.

    A classifier that knows all the classes keeps what it knows of them, in their order; any other is started anew,
    with zeros, as conversion does.
    """
    rule: StemRule = "sum" if in_channels == 1 else "repeat"
    tensors = adapt_stem(read_weights(parent.main_file), in_channels, rule)
    rows = _known(parent.labels, classes)
    for name in (CLASSIFIER_WEIGHT, CLASSIFIER_BIAS):
        kernel = tensors[name]
        tensors[name] = np.zeros((len(classes), *kernel.shape[1:]), kernel.dtype) if rows is None else kernel[rows]
    return tensors


def _opened(start: str) -> Bundle:
    if not start:
        raise UsageError("this recipe starts from a trained network; pass --from BUNDLE, or --set model.start=BUNDLE")
    parent = open_bundle(Path(start))
    if parent.model.form != "weights":
        raise UsageError(
            f"{start} is a graph ({parent.model.form}), which cannot be trained; expected a bundle of weights, "
            "such as the one that it was exported from"
        )
    return parent


def _preprocess(own: Preprocess, given: Mapping[str, Any]) -> dict[str, Any]:
    """What the document gives, and for the rest `own`, with its first channel's statistics for gray images."""
    channels = CHANNELS.get(given.get("color", own.color), own.channels)
    builtins: dict[str, Any] = msgspec.to_builtins(with_channels(own, channels))
    return {**builtins, **given}


def _known(labels: Labels, classes: Sequence[str]) -> list[int] | None:
    """Where the classes stand among the labels, or None unless all of them do."""
    try:
        return list(labels.targets(classes))
    except InputError:
        return None
