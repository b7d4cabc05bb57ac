"""This toolkit. Options: a backend, a precision, a number of instances, and the mode of preprocessing."""

from argparse import Namespace
from contextlib import closing
from dataclasses import replace
from itertools import repeat
from pathlib import Path

import numpy as np

from benchmarks.contenders.serve import serve
from xception.backends.base import Compute
from xception.bundle import open_bundle
from xception.data.folder import image_files
from xception.metrics import top_k
from xception.pipeline.engine import Engine
from xception.pipeline.lane import Scored
from xception.pipeline.overlap import overlap


class Ours:
    def __init__(self, arguments: Namespace) -> None:
        backend, precision, instances, mode = arguments.options
        self.packages = (backend, "pillow")
        bundle = open_bundle(arguments.bundles / ("onnx" if backend == "onnxruntime" else "openvino"))
        self.preprocess = bundle.model.preprocess
        compute = Compute(precision=precision, instances=int(instances))
        self.engine = Engine.open(bundle, backend=backend, compute=compute, mode=mode)
        self.logits = self.engine.session

    def infer(self, pixels: np.ndarray, count: int) -> None:
        session = self.engine.session
        with closing(overlap(repeat(pixels, count), session, workers=session.facts.instances)) as logits:
            for _ in logits:
                pass

    def end_to_end(self, photos: Path, batch: int) -> int:
        seen = 0
        for outcome in replace(self.engine, batch_size=batch).run(image_files([str(photos)])):
            if isinstance(outcome, Scored):
                top_k(outcome.logits[None], 5)
                seen += 1
        return seen


if __name__ == "__main__":
    serve(Ours)
