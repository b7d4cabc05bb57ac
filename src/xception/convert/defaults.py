"""Preprocessing and class names of checkpoints that state none, as their sources published them."""

from collections.abc import Mapping

import msgspec

from xception.arch.spec import Architecture
from xception.convert.catalog import default_entry
from xception.convert.ports import KERASHUB, LUCID, ZEROMODELS
from xception.errors import UsageError
from xception.labels import Labels, imagenet1k
from xception.preprocess import CropSquash, Preprocess, Squash

SOURCE_PREPROCESS: Mapping[str, Preprocess] = {"keras_hub": KERASHUB, "zeromodels": ZEROMODELS, "lucid": LUCID}
"""The preprocessing of packages that have another one than the source of the weights."""


def default_preprocess(spec: Architecture, source: str = "") -> Preprocess:
    """The preprocessing of a package, or of the variant's first published weights, adapted to this network's channels.

    Args:
        spec: the network.
        source: the package whose names its tensors have.

    Raises:
        UsageError: neither gray nor colour images have that many channels.
    """
    entry = default_entry(spec.name)
    published = SOURCE_PREPROCESS.get(source) or (
        entry.preprocess if entry else Preprocess(resize=Squash(width_px=spec.input_px, height_px=spec.input_px))
    )
    return with_channels(published, spec.in_channels)


def with_channels(preprocess: Preprocess, channels: int) -> Preprocess:
    """The same preprocessing for gray or colour images, with the first channel's statistics where their number changes.

    Raises:
        UsageError: neither gray nor colour images have that many channels.
    """
    if preprocess.channels == channels:
        return preprocess
    if channels not in (1, 3):
        raise UsageError(
            f"the network takes images of {channels} channels, and gray ones have 1 and colour ones 3; "
            "no preprocessing is known for it"
        )
    return msgspec.structs.replace(
        preprocess,
        color="gray" if channels == 1 else "rgb",
        mean=preprocess.mean[:1] * channels,
        std=preprocess.std[:1] * channels,
    )


def with_input_px(preprocess: Preprocess, height_px: int, width_px: int) -> Preprocess:
    """The same preprocessing for another input size, to which images are squashed if it differs, or cut and squashed
    where they are cut first."""
    if preprocess.output_px == (height_px, width_px):
        return preprocess
    rule = CropSquash if isinstance(preprocess.resize, CropSquash) else Squash
    return msgspec.structs.replace(preprocess, resize=rule(width_px=width_px, height_px=height_px), crop=None)


def default_labels(num_classes: int) -> Labels:
    """ImageNet's class names where there are as many classes, else numbers; that of a single class is `positive`."""
    named = imagenet1k()
    if num_classes == 1:
        return Labels(("positive",))
    return named if num_classes == len(named) else Labels(tuple(f"class {index}" for index in range(num_classes)))
