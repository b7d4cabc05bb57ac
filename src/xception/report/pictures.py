"""The pictures behind the results of a run, small, and as PNG data URIs for a page."""

import base64
import io
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from xception.data.decode import loaded_image
from xception.data.source import Source
from xception.errors import DecodeError
from xception.extras import require
from xception.preprocess import Preprocess, whole_levels

THUMBNAIL_PX = 168


def thumbnails(source: Source, keys: Iterable[str], preprocess: Preprocess | None = None) -> dict[str, Image.Image]:
    """Small pictures of the items with these keys, as the network sees them if its preprocessing is given.

    Those that cannot be read any more are left out.
    """
    wanted = set(keys)
    pictures = {}
    for item in source:
        if item.key in wanted:
            wanted.remove(item.key)
            try:
                image = loaded_image(item.load())
                pictures[item.key] = thumbnail(_seen(image, preprocess) if preprocess else image)
            except (DecodeError, OSError):
                continue
    return pictures


def as_seen(pixels: NDArray[np.float32], preprocess: Preprocess) -> Image.Image:
    """A picture of what the network gets: normalised pixels (C, H, W)."""
    return _picture(whole_levels(preprocess.levels(pixels)), preprocess)


def png_uri(image: Image.Image) -> str:
    """The image, thumbnail size, as a data URI. Small images keep their hard pixels."""
    file = io.BytesIO()
    thumbnail(image).save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def thumbnail(image: Image.Image) -> Image.Image:
    """The image with its longer side of `THUMBNAIL_PX`, RGB."""
    scale = THUMBNAIL_PX / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.convert("RGB").resize(size, Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS)


def overlay(image: Image.Image, class_map: NDArray[np.floating]) -> Image.Image:
    """The image in grey with the (H, W) class map in colour over it, stronger where there is more evidence."""
    small = thumbnail(image)
    span = float(np.ptp(class_map))
    scaled = (class_map - class_map.min()) / span if span else np.zeros_like(class_map)
    evidence = Image.fromarray(np.uint8(np.round(255 * scaled))).resize(small.size, Image.Resampling.BICUBIC)
    colours = require("matplotlib", "report").colormaps["inferno"](np.asarray(evidence))[..., :3]
    strength = 0.85 * np.asarray(evidence)[..., None] / 255
    grey = np.asarray(small.convert("L"))[..., None] / 255
    return Image.fromarray(np.uint8(np.round(255 * (grey * (1 - strength) + colours * strength))))


def _seen(image: Image.Image, preprocess: Preprocess) -> Image.Image:
    return _picture(whole_levels(preprocess.resized(image)), preprocess)


def _picture(pixels: NDArray[np.uint8], preprocess: Preprocess) -> Image.Image:
    if preprocess.color == "gray":
        return Image.fromarray(pixels[0])
    colours = pixels[::-1] if preprocess.color == "bgr" else pixels
    return Image.fromarray(np.ascontiguousarray(colours.transpose(1, 2, 0)))
