"""Goldens of a bundle: a handful of images, what preprocessing made of them, and the answers that the model gave.

They lie in the bundle as `goldens.safetensors`, for proving that something else is that model. Images
are made by rule, so that a bundle's descendants answer the same ones.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from xception.backends.base import Logits, Pixels, installed, open_session, run_in_batches
from xception.bundle import GOLDENS, Bundle, Model, unwritten_bundle, write_bundle
from xception.errors import InputError, MissingExtra
from xception.labels import Labels
from xception.weights import parse_weights, weights_bytes

DEFAULT_PX = 64
"""Height and width to make images for where neither preprocessing nor network say any."""

SCALES = ((5, 4, 13, 11), (2, 3, 1, 1), (1, 1, 3, 4))
"""Sizes of the images: numerators and denominators of the input's height and width. One is larger than the input, so
that it shows antialias, and none has the input's shape."""

Image8 = NDArray[np.uint8]
"""An image (H, W, 3) of 8 bits."""

Answering = Callable[[Pixels], Logits]
"""Answers (N, K) for pixels (N, C, H, W)."""


@dataclass(frozen=True)
class Golden:
    """One image, what preprocessing made of it, and the answer."""

    image: Image8
    pixels: Pixels
    """(C, H, W), the network's input."""
    logits: Logits
    """(K,), in the bundle's own form and runtime."""


PARTS = ("image", "pixels", "logits")
"""Fields of a golden, each with a tensor of its own in the file."""


def read_goldens(bundle: Bundle) -> tuple[Golden, ...]:
    """The goldens of a bundle; none if it has none.

    Raises:
        InputError: the file cannot be read, or holds something else.
    """
    if GOLDENS not in bundle.model.files:
        return ()
    values = parse_weights(bundle.content(GOLDENS), bundle.path / GOLDENS)
    found = []
    for number in count():
        parts = [values.get(f"{number}.{part}") for part in PARTS]
        if parts[0] is None or parts[1] is None or parts[2] is None:
            break
        found.append(Golden(parts[0], parts[1], parts[2]))
    if len(values) != 3 * len(found) or not found:
        raise InputError(f"{bundle.path / GOLDENS} holds something else than goldens; make the bundle again")
    return tuple(found)


def images_of(bundle: Bundle | None) -> tuple[Image8, ...]:
    """The goldens' images of a bundle, which those that are made of it answer too; `read_goldens` has the errors."""
    return tuple(golden.image for golden in read_goldens(bundle)) if bundle else ()


def answer_goldens(bundle: Bundle, images: Sequence[Image8] = (), run: Answering | None = None) -> tuple[Golden, ...]:
    """The goldens that a bundle without any gets; none where no runtime for it is installed.

    Args:
        bundle: a bundle without goldens.
        images: those of the bundle that it was made of; without them, `golden_images`.
        run: what runs the bundle where no backend does.
    """
    if run is None and not installed(bundle.model.form):
        return ()
    images = images or golden_images(bundle.model)
    pixels = [bundle.model.preprocess(Image.fromarray(image)) for image in images]
    try:
        logits = answers(bundle, pixels) if run is None else [run(one[None])[0] for one in pixels]
    except MissingExtra:
        return ()
    return tuple(map(Golden, images, pixels, logits))


def make_goldens(bundle: Bundle, images: Sequence[Image8] = (), run: Answering | None = None) -> dict[str, bytes]:
    """The file of goldens by its name, or nothing; for the arguments see `answer_goldens`."""
    goldens = answer_goldens(bundle, images, run)
    values = {f"{number}.{part}": getattr(golden, part) for number, golden in enumerate(goldens) for part in PARTS}
    return {GOLDENS: weights_bytes(values)} if goldens else {}


def answers(bundle: Bundle, pixels: Iterable[Pixels]) -> list[Logits]:
    """The answers (K,) of a bundle to pixels (C, H, W), one image at a time."""
    with closing(open_session(bundle)) as session:
        return [run_in_batches(session, one[None], 1)[0] for one in pixels]


def write_with_goldens(
    path: Path,
    model: Model,
    labels: Labels,
    files: Mapping[str, bytes | Path],
    *,
    images: Sequence[Image8] = (),
    overwrite: bool = False,
) -> Bundle:
    """Write a bundle as `write_bundle`, with goldens; for `images` see `answer_goldens`."""
    goldens = make_goldens(unwritten_bundle(path, model, labels, files), images)
    return write_bundle(path, model, labels, {**files, **goldens}, overwrite=overwrite)


def golden_images(model: Model) -> list[Image8]:
    """Images (H, W, 3) of a size that suits a model: always the same, with edges, and no two channels alike."""
    height, width = _input_px(model)
    return [
        _image(seed, height * up // down + more, width * up // down + less)
        for seed, (up, down, more, less) in enumerate(SCALES)
    ]


def _input_px(model: Model) -> tuple[int, int]:
    if model.preprocess.output_px:
        return model.preprocess.output_px
    if model.network.variant:
        return (model.network.architecture().input_px,) * 2
    sides = model.graph.input_shape[2:] if model.graph else (None, None)
    return sides[0] or DEFAULT_PX, sides[1] or DEFAULT_PX


def _image(seed: int, height: int, width: int) -> Image8:
    rng = np.random.Generator(np.random.PCG64(seed))
    planes = []
    for cell in (max(1, height // 9), max(1, height // 5), 2):
        coarse = rng.integers(0, 256, (-(-height // cell), -(-width // cell)), np.uint8)
        planes.append(coarse.repeat(cell, 0).repeat(cell, 1)[:height, :width])
    return np.stack(planes, axis=2)
