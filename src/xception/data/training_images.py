"""Hashes of the images that a model was trained on, kept in its bundle, so that an evaluation recognises them.

An image is known by the first 8 bytes of the SHA-256 of its file, or of its pixels where there is no file, wherever it
lies and whatever it is called.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from xception.bundle import INT8_RANGES, Bundle
from xception.data.source import Item, Source
from xception.data.subset import loaded_digest
from xception.errors import DecodeError, InputError
from xception.weights import parse_weights, weights_bytes

TRAINING_IMAGES = "training_images.safetensors"
"""Name of the file in a bundle."""

DIGESTS = "sha256_starts"
"""Name of its tensor: uint64, each image's digest once, in ascending order."""

Digests = NDArray[np.uint64]


def short_digest(loaded: bytes | Image.Image) -> int:
    """The number by which a bundle knows an image."""
    return int.from_bytes(loaded_digest(loaded)[:8], "big")


class ContentDigests:
    """The digests of a source's images, noted as they are loaded for any other reason."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._digests = np.zeros(len(source), np.uint64)
        self._is_known = np.zeros(len(source), bool)

    def item(self, place: int) -> Item:
        """The image at a place, whose digest is noted when it is loaded."""
        item = self._source[place]
        return item if self._is_known[place] else replace(item, load=lambda: self._noted(place, item))

    def _noted(self, place: int, item: Item) -> bytes | Image.Image:
        loaded = item.load()
        self._digests[place] = short_digest(loaded)
        self._is_known[place] = True
        return loaded

    def of(self, places: np.ndarray) -> Digests:
        """The digests at these places, of images that were loaded."""
        return np.asarray(self._digests[places], np.uint64)

    def note(self, places: np.ndarray, digests: Digests) -> None:
        """Take over digests of images that another process loaded."""
        self._digests[places] = digests
        self._is_known[places] = True

    def all(self) -> Digests:
        """All digests; images that were not loaded yet are read now, and those that cannot be read are left out."""
        for place in np.flatnonzero(~self._is_known):
            try:
                self._noted(int(place), self._source[int(place)])
            except (DecodeError, OSError):
                continue
        return np.unique(self._digests[self._is_known])


def digests_bytes(digests: Digests) -> bytes:
    """The content of a bundle's file; equal digests give equal bytes."""
    return weights_bytes({DIGESTS: np.unique(digests)})


def training_images(bundle: Bundle) -> Digests | None:
    """The digests of the images that a model was trained on; None where its bundle does not tell.

    Raises:
        InputError: the file is not what a training run writes.
    """
    if TRAINING_IMAGES not in bundle.model.files:
        return None
    place = bundle.path / TRAINING_IMAGES
    tensors = parse_weights(bundle.content(TRAINING_IMAGES), place)
    digests = tensors.get(DIGESTS)
    if digests is None or digests.dtype != np.uint64 or digests.ndim != 1:
        raise InputError(f"{place} holds no list of images; expected one tensor {DIGESTS} of uint64; get it again")
    return digests


def carried(bundle: Bundle) -> dict[str, bytes]:
    """The files about its training that a bundle made from this one keeps, by name."""
    return {name: bundle.content(name) for name in (TRAINING_IMAGES, INT8_RANGES) if name in bundle.model.files}


@dataclass
class Recognised:
    """A source that notes, as its images are loaded, those that the model was trained on."""

    source: Source
    digests: Digests
    """In ascending order."""
    known: set[str] = field(default_factory=set)
    """Keys of the images that were found among them."""

    @property
    def name(self) -> str:
        return self.source.name

    @property
    def classes(self) -> tuple[str, ...]:
        return self.source.classes

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int, /) -> Item:
        return self._recognised(self.source[index])

    def __iter__(self) -> Iterator[Item]:
        return map(self._recognised, self.source)

    def _recognised(self, item: Item) -> Item:
        def load() -> bytes | Image.Image:
            loaded = item.load()
            digest = np.uint64(short_digest(loaded))
            place = int(np.searchsorted(self.digests, digest))
            if place < len(self.digests) and self.digests[place] == digest:
                self.known.add(item.key)
            return loaded

        return replace(item, load=load)
