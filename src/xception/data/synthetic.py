"""Images that are made on demand and are always the same, for measurements without data."""

import io
import re
from functools import partial

import numpy as np
from PIL import Image

from xception.data.source import Item, Items, Lazy
from xception.data.splits import Split, split_part
from xception.errors import UsageError
from xception.labels import index_classes
from xception.preprocess import Preprocess

SYNTHETIC_PREFIX = "synthetic:"
SYNTHETIC_SYNTAX = "synthetic:COUNT[,WIDTHxHEIGHT[,CLASSES]]"
SYNTHETIC_PATTERN = re.compile(r"synthetic:(\d{1,9})(?:,(\d{1,5})x(\d{1,5})(?:,(\d{1,6}))?)?")


def synthetic(data: str, split: Split | None) -> Lazy:
    """The `pictures` of a name such as `synthetic:1000`, of 96 x 64 px and two classes unless the name says otherwise.

    Raises:
        UsageError: a name of another form, or a number below one.
    """
    match = SYNTHETIC_PATTERN.fullmatch(data)
    numbers = [int(text) for text in match.groups("0")] if match else []
    if not match or numbers[0] < 1 or (match[2] and 0 in numbers[1:3]) or (match[4] and numbers[3] < 1):
        raise UsageError(
            f"{data!r} names no pictures; expected {SYNTHETIC_SYNTAX}, all from 1, "
            f"such as {SYNTHETIC_PREFIX}1000,320x240,10"
        )
    count, width, height, classes = numbers
    return split_part(pictures(count, width or 96, height or 64, classes or 2, name=data), split)


def pictures(count: int, width: int = 96, height: int = 64, classes: int = 2, *, name: str = "synthetic") -> Lazy:
    """`count` pictures of coarse random colours, no two alike; the classes, known only by index, take turns."""

    return Lazy(name, index_classes(classes), range(count), partial(_item, classes, width, height))


def _item(classes: int, width: int, height: int, index: int) -> Item:
    return Item(f"{index:09d}", index % classes, partial(_picture, index, width, height))


def noise_source(preprocess: Preprocess, count: int = 32) -> Items:
    """JPEG files of smooth noise, a quarter larger than the input, for a benchmark without data; always the same."""
    rng = np.random.Generator(np.random.PCG64(0))
    height, width = preprocess.output_px or (299, 299)

    def encoded() -> bytes:
        coarse = rng.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), np.uint8)
        file = io.BytesIO()
        Image.fromarray(coarse).resize((width * 5 // 4, height * 5 // 4), Image.Resampling.BICUBIC).save(file, "JPEG")
        return file.getvalue()

    files = [encoded() for _ in range(count)]
    return Items(
        "noise", (), tuple(Item(f"noise-{index:03d}", None, partial(bytes, file)) for index, file in enumerate(files))
    )


def _picture(index: int, width: int, height: int) -> Image.Image:
    coarse = np.random.Generator(np.random.Philox(key=index)).integers(0, 256, (4, 6, 3), np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.NEAREST)
