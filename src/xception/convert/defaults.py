"""What a checkpoint does not state and its model folder does not either: preprocessing and class names."""

import msgspec

from xception.arch.spec import Architecture
from xception.errors import UsageError
from xception.labels import Labels
from xception.preprocess import CenterCrop, Preprocess, ShorterSide, Squash

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def _published(resize_px: int, **other: object) -> Preprocess:
    values = {"resize": ShorterSide(px=resize_px), "crop": CenterCrop(width_px=299, height_px=299), **other}
    return msgspec.convert(values, Preprocess)


_IMAGENET = {"mean": IMAGENET_MEAN, "std": IMAGENET_STD}
_PADDLE = {
    "resize": ShorterSide(px=320, long_side="round"),
    "interpolation": "bilinear",
    "antialias": False,
    **_IMAGENET,
}
_PUBLISHED = {
    "timm": _published(333),
    "keras": _published(333),
    "gluon": _published(331, **_IMAGENET),
    "paddleclas": _published(320, **_PADDLE),
    "mindcv": _published(341, interpolation="bilinear", **_IMAGENET),
    "mindspore": _published(320, interpolation="bilinear"),
    "mini": Preprocess(
        color="gray",
        resize=Squash(width_px=64, height_px=64),
        interpolation="bilinear",
        mean=(0.5,),
        std=(0.5,),
    ),
}
"""By source of the network."""


def default_preprocess(spec: Architecture) -> Preprocess:
    """The preprocessing that the variant was published with, for the channels of this network.

    Raises:
        UsageError: neither gray nor colour images have that many channels.
    """
    return with_channels(_PUBLISHED[spec.source], spec.in_channels)


def with_channels(preprocess: Preprocess, channels: int) -> Preprocess:
    """The same for gray or colour images, with the statistics of the first channel where the number changes.

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
    """The same for another input size, to which images are squashed if it differs."""
    if preprocess.output_px == (height_px, width_px):
        return preprocess
    return msgspec.structs.replace(preprocess, resize=Squash(width_px=width_px, height_px=height_px), crop=None)


def default_labels(num_classes: int) -> Labels:
    """Names for classes of which only the number is known."""
    return Labels(tuple(f"class {index}" for index in range(num_classes)))
