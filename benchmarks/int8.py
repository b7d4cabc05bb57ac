"""Rates of float32 and int8 side by side, and accuracy by number of calibration images.

    python benchmarks/int8.py rates [--variant timm_xception] [--px 299]
    python benchmarks/int8.py images BUNDLE CALIBRATION VALIDATION [--picture FILE.svg]

Rates are of a network with fresh weights, on which they do not depend. All forms are measured in turn, round by round,
so that a drifting machine hits all of them alike; medians, and ratios to ONNX Runtime's float32, go to stdout.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import onnx
import onnxruntime
import openvino

from xception.arch.variants import architecture
from xception.bundle import open_bundle
from xception.data.sources import open_source
from xception.data.subset import balanced
from xception.export.onnx import onnx_files
from xception.export.program import program
from xception.models.network import build
from xception.preprocess import Preprocess, Squash
from xception.quantize.observe import observe
from xception.quantize.processor import processor
from xception.quantize.qdq import Scheme, quantize_graph
from xception.quantize.static import GateFailed, quantize_bundle

ROUNDS = 7
COUNTS = (16, 32, 64, 128, 256, 512)
DRAWS = 3

Forward = Callable[[np.ndarray], Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    speed = verbs.add_parser("rates")
    speed.add_argument("--variant", default="timm_xception")
    speed.add_argument("--px", type=int, default=299)
    curve = verbs.add_parser("images")
    for name in ("bundle", "calibration", "validation"):
        curve.add_argument(name)
    curve.add_argument("--picture", type=Path)
    arguments = parser.parse_args()
    if arguments.verb == "rates":
        rates(arguments.variant, arguments.px)
    else:
        images(Path(arguments.bundle), arguments.calibration, arguments.validation, arguments.picture)


def rates(variant: str, px: int) -> None:
    """A table of images a second at batch 1."""
    spec = architecture(variant)
    pixels = np.random.Generator(np.random.PCG64(0)).normal(0, 1, (1, spec.in_channels, px, px)).astype(np.float32)
    forms = compiled(graphs(spec.name, px, pixels))
    seconds: dict[str, list[float]] = {name: [] for name in forms}
    for _ in range(1 + ROUNDS):
        for name, forward in forms.items():
            start = perf_counter()
            forward(pixels)
            seconds[name].append(perf_counter() - start)
    print(f"{variant} at {px} px, batch 1, {processor().instructions}")
    reference = median(seconds["onnxruntime float32"][1:])
    for name, times in seconds.items():
        print(f"{name:32} {1 / median(times[1:]):8.1f} images/s   x {reference / median(times[1:]):.2f}")


def graphs(variant: str, px: int, pixels: np.ndarray) -> dict[str, onnx.ModelProto]:
    """The float graph, and int8 ones with unsigned and with signed activations."""
    spec = architecture(variant)
    values = build(spec).tensors()
    preprocess = Preprocess(
        color="gray" if spec.in_channels == 1 else "rgb",
        resize=Squash(width_px=px, height_px=px),
        mean=(0.5,) * spec.in_channels,
        std=(0.5,) * spec.in_channels,
    )
    model = onnx.load_from_string(onnx_files(program(spec, values, preprocess))["model.onnx"])
    unsigned = quantize_graph(model, observe(model, [pixels]).ranges("max"), Scheme())
    return {"float32": model, "int8, unsigned": unsigned, "int8, signed": signed(unsigned)}


def signed(graph: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph with signed integers in place of unsigned ones: every zero point 128 lower."""
    result = onnx.ModelProto()
    result.CopyFrom(graph)
    for tensor in result.graph.initializer:
        value = onnx.numpy_helper.to_array(tensor)
        if value.dtype == np.uint8 and "zero_point" in tensor.name:
            tensor.CopyFrom(onnx.numpy_helper.from_array((value.astype(np.int16) - 128).astype(np.int8), tensor.name))
    return result


def compiled(models: dict[str, onnx.ModelProto]) -> dict[str, Forward]:
    """A function of pixels for each runtime and graph that it takes; a refusal is told on stderr."""
    forms: dict[str, Forward] = {}
    for name, model in models.items():
        data = model.SerializeToString()
        session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
        forms[f"onnxruntime {name}"] = lambda pixels, session=session: session.run(None, {"pixels": pixels})
        for precision in ("f32", "bf16") if name == "float32" else ("f32",):
            try:
                request = openvino.Core().compile_model(
                    openvino.Core().read_model(data), "CPU", {"INFERENCE_PRECISION_HINT": precision}
                )
            except RuntimeError as error:
                print(f"openvino refuses {name}: {str(error).strip().splitlines()[-1]}", file=sys.stderr)
                continue
            label = "bfloat16" if precision == "bf16" else name
            forms[f"openvino {label}"] = lambda pixels, request=request: request(pixels)
    return forms


def images(bundle: Path, calibration: str, validation: str, picture: Path | None) -> None:
    """Accuracy, agreement and logit error by number of calibration images, for a few draws of each number."""
    opened, source, held_out = open_bundle(bundle), open_source(calibration, "train"), open_source(validation)
    rows = []
    for count in COUNTS:
        for seed in range(DRAWS):
            chosen, _ = balanced(source, count, seed)
            with tempfile.TemporaryDirectory() as folder:
                try:
                    _, result = quantize_bundle(
                        opened, chosen, Path(folder) / "int8", validation=held_out, images=count, method="max"
                    )
                except GateFailed as failure:
                    result = failure.quantization
            verdict = result.verdict
            if verdict and verdict.drop is not None:
                rows.append((count, -100 * verdict.drop, 100 * verdict.top1_agreement, verdict.logit_error))
                print("{:5} images: {:+.2f} points, agreement {:.2f} %, logit error {:.4f}".format(*rows[-1]))
    if picture:
        draw(rows, picture)


def draw(rows: list[tuple[int, float, float, float]], picture: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3), layout="constrained")
    left, right = figure.subplots(1, 2)
    counts = [row[0] for row in rows]
    for axes, column, title in ((left, 1, "change of top-1 (points)"), (right, 3, "logit error")):
        axes.plot(counts, [row[column] for row in rows], "o", markersize=4)
        axes.set(title=title, xlabel="calibration images", xscale="log", xticks=COUNTS, xticklabels=COUNTS)
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    left.axhspan(-0.5, max(0.2, *(row[1] for row in rows)), alpha=0.1)
    figure.savefig(picture, metadata={"Date": None})


if __name__ == "__main__":
    main()
