"""The calibration images: enough of them, of enough classes, prepared as the network expects, and none of the gate's.

The bundle's own preprocessing always applies. What remains to go wrong is the images themselves: files that were
normalised or scaled before they were saved, or of another kind than the network knows. Such ranges fit nothing, so
the images are compared with those of the gate, in values and in the float model's outputs on them.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from xception.backends.base import Pixels
from xception.backends.graph_session import graph_input
from xception.bundle import Bundle, Graph
from xception.data.source import Item, Items, Source
from xception.data.subset import balanced, check_disjoint, content_digest
from xception.errors import InputError
from xception.pipeline.lane import Failure, prepared
from xception.preprocess import Preprocess
from xception.quantize.outputs import Outputs

CALIBRATION_IMAGES = 200
"""Calibration images by default; more change no accuracy measurably, see docs/explanation/int8.md."""

MIN_CALIBRATION_IMAGES = 16

MIN_SHARE_OF_CLASSES = 0.5
"""Share of the classes that this number of images can show."""

MAX_SHIFT = 0.5
"""Largest difference of the mean value from the gate's images, in standard deviations of their values. Random halves
of a data set differ by less than 0.05; images that were normalised before they were saved, by more than 1."""

CONTRASTS = (0.5, 2.0)
"""Bounds of the values' deviation, as a multiple of that of the gate's images."""

TINY = float(np.finfo(np.float32).tiny)

MAX_COMPARED = 200
"""Images of the gate that values are compared with."""


class Provenance(msgspec.Struct, frozen=True, kw_only=True):
    """The images that a model was calibrated on."""

    data: str
    images: int
    classes: int | None
    """Number of classes that they show; None without labels."""
    digest: str
    """SHA-256 of the images' own SHA-256 hashes in ascending order."""


@dataclass(frozen=True)
class Calibration:
    """The images in batches, as a graph takes them; read anew each time they are gone through."""

    source: Items
    preprocess: Preprocess
    graph: Graph | None = None
    """The graph that takes them; by default pixels (N, C, H, W) in batches of one."""

    def __len__(self) -> int:
        """The number of batches."""
        return -(-len(self.source) // self.batch_size)

    @property
    def batch_size(self) -> int:
        """Images in a batch: those of a graph that has a fixed batch, else one."""
        return (self.graph and self.graph.input_shape[0]) or 1

    def __iter__(self) -> Iterator[NDArray[Any]]:
        """Batches for the graph's input; the last one is filled up with its own images again.

        Raises:
            InputError: one cannot be read.
        """
        rows, size = self._pixels(), self.batch_size
        while batch := list(islice(rows, size)):
            pixels = np.stack([batch[index % len(batch)] for index in range(size)])
            yield graph_input(pixels, self.graph, self.preprocess) if self.graph else pixels

    def _pixels(self) -> Iterator[Pixels]:
        for entry in prepared(self.source, self.preprocess):
            if isinstance(entry, Failure):
                raise InputError(f"calibration image {entry.key} cannot be used: {entry.reason}; repair or remove it")
            yield entry.pixels

    def provenance(self) -> Provenance:
        """The record of these images in a bundle."""
        targets = {item.target for item in self.source}
        hashes = sorted(content_digest(item) for item in self.source)
        return Provenance(
            data=self.source.name,
            images=len(self.source),
            classes=None if None in targets else len(targets),
            digest=hashlib.sha256(b"".join(hashes)).hexdigest(),
        )


def split(calibration: Source, validation: Source | None, images: int) -> tuple[Items, Source]:
    """Calibration images and, sharing none with them, the images of the gate.

    Raises:
        InputError: too few images, or some in both.
    """
    chosen, rest = balanced(calibration, images)
    if len(chosen) < MIN_CALIBRATION_IMAGES:
        raise InputError(
            f"{len(chosen)} calibration images say too little about the ranges of activations; "
            f"expected at least {MIN_CALIBRATION_IMAGES}, and better {CALIBRATION_IMAGES}"
        )
    if validation is None and not len(rest):
        raise InputError(
            f"{calibration.name} has {len(calibration)} images, which leaves none to judge the result on after "
            f"{images} for calibration; pass --validation DATA or fewer --calibration-images"
        )
    held_out = validation or rest
    check_disjoint(chosen, held_out)
    return chosen, held_out


def labelled_for(bundle: Bundle, calibration: Items) -> Items:
    """The images with their labels where the model knows the classes, and without where it does not: ranges need
    none."""
    try:
        bundle.labels.targets(calibration.classes)
    except InputError:
        return Items(calibration.name, (), tuple(replace(item, target=None) for item in calibration.items))
    return calibration


def check_calibration(bundle: Bundle, calibration: Calibration, seen: Outputs, held_out: Source, gate: Outputs) -> None:
    """Refuse images that calibrate for something else than what the network is for.

    Args:
        bundle: the float model.
        calibration: the images.
        seen: the float model's outputs on them.
        held_out: the images of the gate.
        gate: the float model's outputs on those.

    Raises:
        InputError: saying what is wrong with the images.
    """
    _check_classes(calibration, seen, bundle.model.network.num_classes)
    _check_values(calibration, held_out)
    _check_accuracy(calibration, seen, gate)


def _check_classes(calibration: Calibration, seen: Outputs, num_classes: int) -> None:
    """Without labels, the classes that the float model sees count."""
    shown = seen.targets if seen.targets is not None else seen.predicted
    classes, possible = len(np.unique(shown)), min(num_classes, len(calibration.source))
    if classes < max(2 if num_classes > 1 else 1, MIN_SHARE_OF_CLASSES * possible):
        raise InputError(
            f"the {len(calibration.source)} calibration images of {calibration.source.name} show {classes} of "
            f"{num_classes} classes; expected at least half of those that this many images can show, "
            "so that ranges hold for all: calibrate on a sample of the training data"
        )


def _check_values(calibration: Calibration, held_out: Source) -> None:
    gate = Items(held_out.name, held_out.classes, tuple(islice(held_out, MAX_COMPARED)))
    ours, theirs = _moments(calibration.source, calibration.preprocess), _moments(gate, calibration.preprocess)
    deviation = max(theirs[1], TINY)
    shift, contrast = float(np.abs(ours[0] - theirs[0]).max()) / deviation, ours[1] / deviation
    if shift > MAX_SHIFT or not CONTRASTS[0] <= contrast <= CONTRASTS[1]:
        raise InputError(
            f"the pixels of {calibration.source.name} are not those of {held_out.name}: their mean lies {shift:.2f} "
            f"deviations away and their contrast is {contrast:.2f} times as high; expected at most {MAX_SHIFT} and "
            f"{CONTRASTS[0]} to {CONTRASTS[1]}: give images as they are, the bundle normalises them itself"
        )


def _check_accuracy(calibration: Calibration, seen: Outputs, gate: Outputs) -> None:
    ours, theirs = seen.score().top1, gate.score().top1
    if ours and theirs and ours.high < theirs.low:
        raise InputError(
            f"the float model is right on {ours.value:.2%} of the calibration images of {calibration.source.name} and "
            f"on {theirs.value:.2%} of the held-out ones, so they are not prepared or not labelled alike; "
            "calibrate on a sample of the training data"
        )


def _moments(items: Sequence[Item] | Items, preprocess: Preprocess) -> tuple[np.ndarray, float]:
    """The mean of each channel, and the deviation of all values from it, over the images that can be read."""
    sums, squares, count = np.zeros(preprocess.channels), np.zeros(preprocess.channels), 0
    for entry in prepared(items, preprocess):
        if not isinstance(entry, Failure):
            pixels = entry.pixels.astype(np.float64)
            sums += pixels.sum((1, 2))
            squares += (pixels**2).sum((1, 2))
            count += pixels[0].size
    mean = sums / max(count, 1)
    return mean, float(np.sqrt(np.maximum(squares / max(count, 1) - mean**2, 0).mean()))
