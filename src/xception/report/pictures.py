"""The pictures behind the results of a run."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from xception.data.decode import loaded_image
from xception.data.source import Source
from xception.errors import DecodeError
from xception.preprocess import Preprocess, whole_levels
from xception.report.plots import thumbnail


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


def _seen(image: Image.Image, preprocess: Preprocess) -> Image.Image:
    return _picture(whole_levels(preprocess.resized(image)), preprocess)


def _picture(pixels: NDArray[np.uint8], preprocess: Preprocess) -> Image.Image:
    if preprocess.color == "gray":
        return Image.fromarray(pixels[0])
    colours = pixels[::-1] if preprocess.color == "bgr" else pixels
    return Image.fromarray(np.ascontiguousarray(colours.transpose(1, 2, 0)))
