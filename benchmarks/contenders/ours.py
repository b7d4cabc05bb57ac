"""This toolkit. Options: a backend, a precision, a number of instances, and the mode of preprocessing."""

from argparse import Namespace
from contextlib import closing
from itertools import repeat
from pathlib import Path

import numpy as np

from benchmarks.contenders.serve import serve
from xception.backends.base import Compute, open_session
from xception.bundle import open_bundle
from xception.data.folder import image_files
from xception.metrics import top_k
from xception.pipeline.overlap import overlap
from xception.pipeline.stream import Scored, infer


class Ours:
    def __init__(self, arguments: Namespace) -> None:
        backend, precision, instances, self.mode = arguments.options
        self.packages = (backend, "pillow")
        bundle = open_bundle(arguments.bundles / ("onnx" if backend == "onnxruntime" else "openvino"))
        self.preprocess = bundle.model.preprocess
        self.session = open_session(bundle, backend, Compute(precision=precision, instances=int(instances)))
        self.logits = self.session

    def infer(self, pixels: np.ndarray, count: int) -> None:
        with closing(overlap(repeat(pixels, count), self.session, workers=self.session.instances)) as logits:
            for _ in logits:
                pass

    def end_to_end(self, photos: Path, batch: int) -> int:
        seen = 0
        for outcome in infer(
            image_files([str(photos)]), self.preprocess, self.session, batch_size=batch, mode=self.mode
        ):
            if isinstance(outcome, Scored):
                top_k(outcome.logits[None], 5)
                seen += 1
        return seen


if __name__ == "__main__":
    serve(Ours)
