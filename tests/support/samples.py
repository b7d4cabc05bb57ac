"""Small objects for many tests: random weights, generated pictures, and data sets made of them."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from xception.arch.compute import tensors
from xception.arch.spec import Architecture
from xception.backends.base import InputValues, SessionFacts
from xception.data.source import Item, Items

HANG_S = 600
"""Bound of every wait in the tests, so that a fault ends them; far beyond what a busy machine takes."""

CLASSES = ("ant", "bee", "cat", "dog", "eel", "fox", "gnu")


def drawn_tensors(spec: Architecture, seed: int = 0) -> dict[str, np.ndarray]:
    """Weights under which the network's logits depend strongly on its input, unlike fresh ones."""
    rng = np.random.Generator(np.random.PCG64(seed))

    def drawn(name: str, shape: tuple[int, ...]) -> np.ndarray:
        if name.endswith("running_var") or (name.endswith("weight") and len(shape) == 1):
            return rng.uniform(0.5, 1.5, shape)
        if len(shape) > 1:
            return rng.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape)
        return rng.normal(0, 0.2, shape)

    return {name: drawn(name, shape).astype(np.float32) for name, shape in tensors(spec).items()}


def picture(width: int = 40, height: int = 30, seed: int = 0, mode: str = "RGB") -> Image.Image:
    """Coarse random colours: no two seeds alike, and JPEG keeps most of them."""
    rng = np.random.Generator(np.random.PCG64(seed))
    coarse = rng.integers(0, 256, (4, 4, 3), np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.NEAREST).convert(mode)


def encoded(image: Image.Image, file_format: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def labelled(count: int, classes: Sequence[str] = CLASSES, broken: Sequence[int] = ()) -> Items:
    """Pictures with labels in turn, of which those at `broken` cannot be decoded."""
    files = [b"broken" if index in broken else encoded(picture(seed=index)) for index in range(count)]
    items = [Item(f"{index:03d}", index % len(classes), lambda file=file: file) for index, file in enumerate(files)]
    return Items("pictures", tuple(classes), tuple(items))


def write_folder(root: Path, per_class: int = 3, classes: Sequence[str] = CLASSES) -> Path:
    """An image folder: `per_class` pictures of each class."""
    for number, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for index in range(per_class):
            (root / name / f"{index}.png").write_bytes(encoded(picture(seed=100 * number + index)))
    return root


class OneAtATime:
    """The facts of a session that takes pixels, from one thread at a time; tests set them as attributes."""

    name: str
    input_shape: tuple[int, int | None, int | None]
    num_classes: int
    batch_size: int | None = None
    input_values: InputValues = "pixels"
    instances: int = 1
    threads: int = 1

    @property
    def facts(self) -> SessionFacts:
        return SessionFacts(
            name=self.name,
            input_shape=self.input_shape,
            num_outputs=self.num_classes,
            batch_size=self.batch_size,
            input_values=self.input_values,
            instances=self.instances,
            threads=self.threads,
        )
