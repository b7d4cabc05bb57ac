"""Speed of int8 in the runtime, next to that of the float graph it was made of, on this machine."""

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import msgspec

from xception.bundle import Model, Network, Precision, write_bundle
from xception.data.source import Items, Source
from xception.data.synthetic import noise_source
from xception.export.onnx import onnx_files
from xception.export.program import Program, program
from xception.extras import require
from xception.intervals import Interval
from xception.labels import Labels
from xception.pipeline.engine import Engine
from xception.pipeline.timing import timed
from xception.preprocess import Preprocess, Squash
from xception.quantize.body import with_names
from xception.quantize.calibration import MIN_CALIBRATION_IMAGES, Calibration
from xception.quantize.int8_files import int8_onnx_files
from xception.quantize.observation import observe
from xception.quantize.qdq import Scheme, quantize_graph
from xception.speed.benchmark import workload
from xception.speed.race import inference_ratio
from xception.speed.workload import Stages, Workload

CALL_IMAGES = 8
"""Images per call, where the graph takes any number."""

TURN_S = 0.2
"""Time that a turn of the float graph is to take: long enough to be told from noise, and short for large networks."""

TURN_IMAGES = 64
"""Images of a turn at most, unless a batch for every instance is more."""

REPEATS = 8
"""Pairs of turns."""


class Int8Speed(msgspec.Struct, frozen=True, kw_only=True):
    """The time in the runtime only, both graphs in turns on the same prepared images."""

    parent_backend: str
    backend: str
    batch: int
    images: int
    """Images per turn."""
    ratio: Interval
    """Images per second of int8 over those of the float graph, with its 95 % interval."""

    @property
    def verdict(self) -> Literal["faster", "slower", "undecided"]:
        """Decided only by an interval that excludes equal speed."""
        return "faster" if self.ratio.low > 1 else "slower" if self.ratio.high < 1 else "undecided"

    def sentence(self) -> str:
        """The verdict in words, with percentages."""
        where = f"{self.backend} at batch {self.batch}"
        where += f", the float graph in {self.parent_backend}" if self.parent_backend != self.backend else ""
        changes = ", ".join(f"{bound - 1:+.1%}" for bound in (self.ratio.low, self.ratio.high))
        rate = f"{self.ratio.value - 1:+.1%} [{changes}] images per second than in float ({where})"
        match self.verdict:
            case "faster":
                return f"int8 is faster here: {rate}"
            case "slower":
                return f"int8 is slower here: {rate}; it pays only where size counts, or on another processor"
            case _:
                return f"no verdict on speed: {rate}, which noise may be; repeat on a quiet machine"


def int8_speed(parent: Engine, int8: Engine, source: Source) -> Int8Speed:
    """Measure both on images of a source.

    Raises:
        InputError: none of the images can be read.
    """
    first, second = (workload(engine, source, _batch(engine), images=TURN_IMAGES) for engine in (parent, int8))
    return measured(first, second)


def measured(parent: Workload, int8: Workload) -> Int8Speed:
    """The ratio of the rates of two workloads, with no more images than the float graph computes in `TURN_S`."""
    images = _images(parent)
    parent, int8 = (replace(side, images_per_run=images) for side in (parent, int8))
    return Int8Speed(
        parent_backend=parent.session.facts.name,
        backend=int8.session.facts.name,
        batch=int8.engine.batch_size,
        images=images,
        ratio=inference_ratio(int8, parent, warmup=1, repeats=REPEATS),
    )


def drawn_network_speed(variant: str, *, width: float, px: int) -> Int8Speed:
    """The speed of a network with random weights on noise: speed does not depend on the numbers.

    Args:
        variant: its name.
        width: factor of its channels.
        px: side of its images in pixels.

    Raises:
        MissingExtra: torch, onnx or onnxruntime is not installed.
    """
    network = Network(variant=variant, num_classes=10, in_channels=3, width=width)
    preprocess = Preprocess(resize=Squash(width_px=px, height_px=px))
    images, labels = noise_source(preprocess, MIN_CALIBRATION_IMAGES), Labels(tuple(map(str, range(10))))
    made, graphs = _drawn_graphs(network, preprocess, images)
    with TemporaryDirectory() as folder, ExitStack() as opened:
        engines = []
        for precision, files in graphs.items():
            model = Model(
                name=variant,
                network=network,
                form="onnx",
                precision=precision,
                preprocess=preprocess,
                graph=made.graph,
            )
            bundle = write_bundle(Path(folder) / precision, model, labels, files)
            engines.append(opened.enter_context(Engine.open(bundle)))
        float_engine, int8_engine = engines
        return int8_speed(float_engine, int8_engine, images)


def _drawn_graphs(
    network: Network, preprocess: Preprocess, images: Items
) -> tuple[Program, dict[Precision, dict[str, bytes]]]:
    """A network's program, and the files of its graph in float and in int8."""
    from xception.models.network import build

    spec = network.architecture()
    made = program(spec, build(spec).tensors(), preprocess)
    files = onnx_files(made)
    graph = with_names(require("onnx", "quantize").load_from_string(files["model.onnx"]))
    ranges = observe(graph, Calibration(images, preprocess, made.graph)).ranges("max")
    return made, {"float32": files, "int8": int8_onnx_files(quantize_graph(graph, ranges, Scheme()))}


def _batch(engine: Engine) -> int:
    return engine.session.facts.batch_size or CALL_IMAGES


def _images(parent: Workload) -> int:
    """Whole batches for every instance: one, or as many as `TURN_S` and `TURN_IMAGES` allow."""
    least = parent.engine.batch_size * parent.session.facts.instances
    stages = Stages(replace(parent, images_per_run=least))
    stages.infer()
    seconds = timed(stages.infer, parent.clock).seconds
    return least * max(1, min(int(TURN_S / seconds) if seconds else TURN_IMAGES, TURN_IMAGES // least))
