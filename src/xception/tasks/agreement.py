"""Agreement of one form of a model with another: logits compared on the same pixels."""

from collections.abc import Iterable
from itertools import islice

import numpy as np

from xception.backends.base import Logits, Pixels, Session, run_in_batches
from xception.backends.probes import probe_images
from xception.bundle import Agreement, Bundle
from xception.data.source import Item
from xception.errors import InputError
from xception.pipeline.lane import Ready, prepared
from xception.preprocess import Preprocess

PROBE_BATCH_SIZE = 7
"""Odd on purpose: the graph must take any batch, and the last one is a smaller one."""


def probe_pixels(bundle: Bundle, count: int = 16, size_px: tuple[int, int] | None = None) -> Pixels:
    """Pixels of (height, width), by default the bundle's input size, to compare on when no data is at hand:
    (count, C, H, W) float32.

    They are `probe_images`, normalised as the bundle says.

    Raises:
        InputError: the bundle's preprocessing fixes no input size.
    """
    size = size_px or bundle.model.preprocess.output_px
    if size is None:
        raise InputError(f"{bundle.path} has no fixed input size; compare on data instead")
    return bundle.model.preprocess.normalize(probe_images(count, bundle.model.network.in_channels, *size))


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
