"""The pictures behind the results of a run."""

from collections.abc import Iterable

from PIL import Image

from xception.data.decode import loaded_image
from xception.data.source import Source
from xception.errors import DecodeError
from xception.report.plots import thumbnail


def thumbnails(source: Source, keys: Iterable[str]) -> dict[str, Image.Image]:
    """Small pictures of the items with these keys; those that cannot be read any more are left out."""
    wanted = set(keys)
    pictures = {}
    for item in source:
        if item.key in wanted:
            wanted.remove(item.key)
            try:
                pictures[item.key] = thumbnail(loaded_image(item.load()))
            except (DecodeError, OSError):
                continue
    return pictures
