"""Agreement of one form of a model with another: logits compared on the same pixels."""

from collections.abc import Iterable
from itertools import islice

import numpy as np

from xception.backends.base import Logits, Pixels, Session, run_in_batches
from xception.bundle import Agreement, Bundle
from xception.data.source import Item
from xception.errors import InputError
from xception.pipeline.lane import Ready, prepared
from xception.preprocess import Preprocess

SEED = 0
PROBE_BATCH_SIZE = 7
"""Odd on purpose: the graph must take any batch, and the last one is a smaller one."""


def probe_pixels(bundle: Bundle, count: int = 16, size_px: tuple[int, int] | None = None) -> Pixels:
    """Pixels of (height, width), by default the bundle's input size, to compare on when no data is at hand:
    (count, C, H, W) float32.

    Black, white, middle gray and random noise from fine to coarse, some of it without colour, normalised as the
    bundle says; always the same.

    Raises:
        InputError: the bundle's preprocessing fixes no input size.
    """
    size = size_px or bundle.model.preprocess.output_px
    if size is None:
        raise InputError(f"{bundle.path} has no fixed input size; compare on data instead")
    rng = np.random.Generator(np.random.PCG64(SEED))
    height, width = size
    images = np.zeros((count, bundle.model.network.in_channels, height, width), np.uint8)
    images[1:2] = 255
    for index in range(2, count):
        cell = 2 ** (index % 6)
        coarse = rng.integers(0, 256, (images.shape[1], -(-height // cell), -(-width // cell)), np.uint8)
        images[index] = coarse.repeat(cell, 1).repeat(cell, 2)[:, :height, :width]
    images[4:5] = 128
    images[6:7] = images[6:7, :1]
    return bundle.model.preprocess.normalize(images)


def data_pixels(items: Iterable[Item], preprocess: Preprocess, count: int = 64) -> Pixels:
    """The first `count` readable images, (N, C, H, W) float32.

    Raises:
        InputError: none can be read, or they are of several sizes.
    """
    images = [entry.pixels for entry in prepared(islice(items, count), preprocess) if isinstance(entry, Ready)]
    if not images:
        raise InputError("none of the images can be read; expected at least one to compare on")
    sizes = {image.shape[1:] for image in images}
    if len(sizes) > 1:
        raise InputError(
            f"the images are of {len(sizes)} sizes, which the preprocessing leaves; pass images of one size"
        )
    return np.stack(images)


def agreement(session: Session, parent: Session, pixels: Pixels) -> Agreement:
    """Compare two sessions on the same pixels, (N, C, H, W)."""
    return agreement_of(
        run_in_batches(session, pixels, PROBE_BATCH_SIZE), run_in_batches(parent, pixels, PROBE_BATCH_SIZE)
    )


def agreement_of(ours: Logits, theirs: Logits) -> Agreement:
    """Compare two sets of logits of the same images, (N, K)."""
    difference = np.abs(ours.astype(np.float64) - theirs)
    return Agreement(
        samples=len(theirs),
        max_abs_diff=float(difference.max()),
        mean_abs_diff=float(difference.mean()),
        relative_diff=float(difference.max() / max(np.abs(theirs).max(), np.finfo(np.float32).tiny)),
        top1_agreement=float((ours.argmax(1) == theirs.argmax(1)).mean()),
    )
