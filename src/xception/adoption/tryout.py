"""First run of an inspected graph: on test images, one by one and together."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from xception.adoption.outline import refuse
from xception.backends.base import Compute, Logits, Pixels, Session, open_session
from xception.backends.probes import probe_images
from xception.bundle import Model, unwritten_bundle
from xception.errors import InputError
from xception.labels import NO_LABELS
from xception.preprocess import Preprocess

IMAGES = 8
"""Test images: black, white, gray and noise."""

ANY_PX = 96
"""Height and width of test images for a graph that takes any."""

MAX_DIFFERENCE = 1e-3
"""Difference between an image's answers by itself and among others, over the largest answer, that rounding may make."""


@dataclass(frozen=True, kw_only=True)
class TryOut:
    """The raw answers (N, K) to test images, and the runtime that gave them."""

    answers: NDArray[np.float32]
    backend: str
    takes_any_batch: bool


def try_out(path: Path, model: Model, files: Mapping[str, bytes | Path]) -> TryOut:
    """Run a graph that has been looked at on test images.

    Args:
        path: the file, for the error's sentence.
        model: the bundle's document, with the graph's answers taken as they are.
        files: the bundle's files.

    Raises:
        InputError: the runtime refuses it, or cannot run it on these images.
        MissingExtra: the runtime is not installed.
    """
    size = (None, None) if model.graph is None else model.graph.input_shape[2:]
    with _session(path, model, files) as session:
        return _answers(path, session, trial_pixels(model.preprocess, size))


def answers_of(path: Path, model: Model, files: Mapping[str, bytes | Path], pixels: Pixels) -> Logits:
    """Logits of a bundle that is not written, one image at a time; see `try_out`."""
    with _session(path, model, files) as session:
        return np.concatenate([session(image[None]) for image in pixels])


@contextmanager
def _session(path: Path, model: Model, files: Mapping[str, bytes | Path]) -> Iterator[Session]:
    bundle = unwritten_bundle(path.parent, model, NO_LABELS, files)
    try:
        session = open_session(bundle, compute=Compute(threads=1))
    except InputError as error:
        reason = str(error).removesuffix("; export the bundle again")
        raise refuse(path, reason, "export it for the runtime that is installed") from error
    try:
        yield session
    finally:
        session.close()


def _answers(path: Path, session: Session, pixels: NDArray[np.float32]) -> TryOut:
    size = session.facts.batch_size
    try:
        if size is None:
            single = [session(image[None]) for image in pixels]
        else:
            repeated = [np.repeat(image[None], size, axis=0) for image in pixels]
            single = [session(batch)[:1] for batch in repeated]
    # Runtimes raise types of their own, which share no base class but this one.
    except Exception as error:
        first = str(error).strip().partition("\n")[0]
        raise refuse(
            path,
            f"{session.facts.name} cannot run it on images of {pixels.shape[2]} x {pixels.shape[3]} px ({first})",
            _advice(session),
        ) from error
    answers = np.concatenate(single)
    if len(answers) != len(pixels):
        raise refuse(path, f"it gives {len(answers)} answers to {len(pixels)} images", "expected one for each")
    return TryOut(
        answers=answers,
        backend=session.facts.name,
        takes_any_batch=size is None and _is_same_together(session, pixels, answers),
    )


def _advice(session: Session) -> str:
    if None in session.facts.input_shape:
        return "check that --preprocess makes images of the size that the network was exported for"
    return f"export it again, for {session.facts.name}"


def _is_same_together(session: Session, pixels: NDArray[np.float32], single: NDArray[np.float32]) -> bool:
    """Tell whether a graph whose input may have any number of images computes each of them by itself."""
    try:
        together = session(pixels)
    except Exception:
        return False
    bound = MAX_DIFFERENCE * max(float(np.abs(single).max()), 1e-30)
    return together.shape == single.shape and bool((np.abs(together - single) <= bound).all())


def trial_pixels(preprocess: Preprocess, size_px: tuple[int | None, int | None]) -> Pixels:
    """The test images as a network takes them, of the preprocessing's size or of this (height, width)."""
    given = preprocess.output_px or (size_px[0] or ANY_PX, size_px[1] or ANY_PX)
    return preprocess.normalize(probe_images(IMAGES, preprocess.channels, *given))


def raw(model: Model) -> Model:
    """The document of a graph whose answers are given as they are."""
    if model.graph is None:
        return model
    return msgspec.structs.replace(model, graph=msgspec.structs.replace(model.graph, output_values="logits"))
