"""A contender as a process: one question per line of JSON on stdin, one answer per line on stdout."""

import argparse
import importlib.metadata
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol

import numpy as np

from parity import seeded

PX = 299
"""Side of the images that all of these networks take."""
PROBES = 2
"""Images on which a contender shows that its network is the one that all the others run."""


class Contender(Protocol):
    """A loaded network that infers, goes the whole way, or both."""

    @property
    def packages(self) -> Sequence[str]:
        """Distributions whose versions belong to its figures."""

    def logits(self, pixels: np.ndarray, /) -> np.ndarray:
        """Images (N, C, H, W), float32, normalised, to logits (N, K)."""


class InferringContender(Contender, Protocol):
    """A contender that runs batches."""

    def infer(self, pixels: np.ndarray, count: int) -> float | None:
        """Run the batch (N, C, H, W) `count` times; the seconds it took, if the contender measures them itself."""


class WholeContender(Contender, Protocol):
    """A contender that goes from files to classes."""

    def end_to_end(self, photos: Path, batch: int) -> int:
        """Classify the JPEG files in the folders of `photos`; how many there were."""


def serve(make: Callable[[argparse.Namespace], Contender]) -> None:
    """Answer until stdin ends."""
    # What frameworks print must not get between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    arguments = _arguments()
    contender = None
    for line in sys.stdin:
        try:
            contender = contender or make(arguments)
            answer = ANSWERS[(question := json.loads(line)).pop("do")](contender, **question)
        except Exception as error:  # whatever fails is the answer
            answer = {"error": f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--variant", required=True)
    parser.add_argument("--bundles", type=Path, required=True, help="folder with the bundles `onnx` and `openvino`")
    parser.add_argument("options", nargs="*", help="what the contender's script knows")
    return parser.parse_args()


def _logits(contender: Contender) -> dict[str, Any]:
    versions = {name: importlib.metadata.version(name) for name in contender.packages}
    return {"logits": contender.logits(seeded.pixels(PX, batch=PROBES)).tolist(), "versions": versions}


def _infer(contender: InferringContender, *, batch: int, count: int) -> dict[str, Any]:
    pixels = seeded.pixels(PX, batch=batch)
    start = perf_counter()
    measured = contender.infer(pixels, count)
    return {"images": count * batch, "seconds": measured or perf_counter() - start}


def _end_to_end(contender: WholeContender, *, photos: str, batch: int, passes: int) -> dict[str, Any]:
    start = perf_counter()
    images = sum(contender.end_to_end(Path(photos), batch) for _ in range(passes))
    return {"images": images, "seconds": perf_counter() - start}


ANSWERS: dict[str, Callable[..., dict[str, Any]]] = {"logits": _logits, "infer": _infer, "end_to_end": _end_to_end}
