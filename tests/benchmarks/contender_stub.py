"""A contender whose logits and misfortunes are its options."""

import sys
from argparse import Namespace
from pathlib import Path

import numpy as np

from benchmarks.contenders.serve import serve


class Stub:
    packages = ("numpy",)

    def __init__(self, arguments: Namespace) -> None:
        self.name, logit, self.fate = arguments.options
        self.logit = float(logit)
        self.log = arguments.bundles / "order.txt"
        sys.stdout.write("frameworks print what they like\n")

    def logits(self, pixels: np.ndarray) -> np.ndarray:
        return np.full((len(pixels), 3), self.logit)

    def infer(self, pixels: np.ndarray, count: int) -> float:
        with self.log.open("a") as log:
            log.write(f"{self.name} {len(pixels)}x{count}\n")
        if self.fate == "dies":
            sys.exit("killed by its own hand")
        if self.fate == "fails":
            raise RuntimeError("no such batch\nand more")
        return 2.0

    def end_to_end(self, photos: Path, batch: int) -> int:
        return len(list(photos.rglob("*.jpg")))


if __name__ == "__main__":
    serve(Stub)
