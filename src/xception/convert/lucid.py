"""The facts that lucid states about a network: in the header of its safetensors, and in `config.json` next to it.

Source: lucid-dl 3.16.
"""

from collections.abc import Mapping
from typing import Literal

import msgspec

from xception.convert.readers import CheckpointContents
from xception.convert.stated import StatedFacts
from xception.errors import InputError
from xception.preprocess import CenterCrop, Preprocess, ShorterSide

_PLACE = "lucid's configuration"


class _Network(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    num_classes: int
    in_channels: int = 3
    dropout: float = 0.5


class _Images(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    crop_size: int
    resize_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: Literal["bilinear", "bicubic"]


class _Preprocessing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    preprocessor_type: Literal["ImageClassification"]
    init_kwargs: _Images


def lucid_facts(checkpoint: CheckpointContents) -> StatedFacts | None:
    """The facts in a file's header and in the configuration of its folder; None for a file of anybody else.

    Raises:
        InputError: something is stated that is not supported.
    """
    metadata = checkpoint.metadata
    config = metadata.get("config")
    stated = config if isinstance(config, Mapping) and config.get("library_name") == "lucid" else {}
    if not stated and metadata.get("format") != "lucid":
        return None
    architecture = stated.get("architecture", metadata.get("architecture"))
    if architecture != "xception":
        raise InputError(f"{_PLACE} states the network {str(architecture)[:40]!r}; expected 'xception'")
    try:
        network = msgspec.convert(stated["config"], _Network) if "config" in stated else None
        images = msgspec.convert(stated["preprocessing"], _Preprocessing) if "preprocessing" in stated else None
    except msgspec.ValidationError as error:
        raise InputError(f"{_PLACE} states something that is not supported: {error}") from error
    return StatedFacts(
        place=_PLACE,
        source="lucid",
        variants=("timm_xception",),
        num_classes=network.num_classes if network else None,
        in_channels=network.in_channels if network else None,
        drop_rate=network.dropout if network else None,
        preprocess=_preprocess(images.init_kwargs) if images else None,
    )


def _preprocess(images: _Images) -> Preprocess:
    return Preprocess(
        orientation="stored",
        resize=ShorterSide(px=images.resize_size),
        interpolation=images.interpolation,
        crop=CenterCrop(width_px=images.crop_size, height_px=images.crop_size),
        mean=images.mean,
        std=images.std,
    )
