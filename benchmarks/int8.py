"""int8 of a trained network, in figures: methods and targets, few calibration images, blown-up ranges, refusals, rates.

    python benchmarks/int8.py ladder BUNDLE CALIBRATION VALIDATION [--methods auto max mse] [--targets onnx litert]
    python benchmarks/int8.py images BUNDLE CALIBRATION VALIDATION [--picture FILE.svg]
    python benchmarks/int8.py blown-up BUNDLE CALIBRATION VALIDATION
    python benchmarks/int8.py refusals BUNDLE CALIBRATION VALIDATION
    python benchmarks/int8.py stretch WEIGHTS OUT
    python benchmarks/int8.py rates [--variant timm_xception] [--px 299]

BUNDLE is a float32 ONNX bundle, WEIGHTS one of mini-XCEPTION's weights, and the data are as `xception quantize` takes
them. Tables go to stdout, as Markdown. Rates are of a network with fresh weights, on which they do not depend. All
forms are measured in turn, round by round, so that a drifting machine hits all of them alike; medians, and ratios to
ONNX Runtime's float32.
"""

import argparse
import io
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import msgspec
import numpy as np
import onnx
import onnxruntime
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

from xception.arch.variants import architecture
from xception.backends.openvino_core import openvino_core
from xception.bundle import Bundle, open_bundle, write_bundle
from xception.cli.app import run
from xception.data.decode import loaded_image
from xception.data.source import Item, Source
from xception.data.sources import open_source
from xception.data.subset import balanced
from xception.export.onnx import onnx_files
from xception.export.program import program
from xception.forms import quantizable
from xception.models.network import build
from xception.pipeline.engine import Engine
from xception.preprocess import Preprocess, Squash
from xception.quantize.calibration import Calibration
from xception.quantize.equalize import conv_pairs
from xception.quantize.gate import Verdict, judge
from xception.quantize.int8_files import int8_onnx_files
from xception.quantize.ladder import Quantizer
from xception.quantize.litert import int8_litert_files
from xception.quantize.observation import observe
from xception.quantize.outputs import model_outputs
from xception.quantize.processor import processor
from xception.quantize.qdq import Scheme, quantize_graph
from xception.quantize.quantize import quantize_bundle
from xception.quantize.record import GateFailed, Quantization
from xception.weights import weights_bytes

ROUNDS = 7
COUNTS = (16, 32, 64, 128, 256, 512)
DRAWS = 3
CALIBRATED = 200
BLOW_UP = 1000
"""Between the least and the most that a channel is scaled by."""

STRETCH = 100
"""The same for the channels of residual sums."""

Forward = Callable[[np.ndarray], Any]


@dataclass(frozen=True)
class Case:
    """A float bundle, and images to calibrate on and to judge by."""

    bundle: Bundle
    calibration: Source
    validation: Source
    places: tuple[str, str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb in ("ladder", "images", "blown-up", "refusals"):
        known = verbs.add_parser(verb)
        for name in ("bundle", "calibration", "validation"):
            known.add_argument(name)
        known.add_argument("--picture", type=Path)
        known.add_argument("--methods", nargs="+", default=["auto"])
        known.add_argument("--targets", nargs="+", default=list(quantizable()))
    stretch = verbs.add_parser("stretch")
    stretch.add_argument("bundle")
    stretch.add_argument("out", type=Path)
    speed = verbs.add_parser("rates")
    speed.add_argument("--variant", default="timm_xception")
    speed.add_argument("--px", type=int, default=299)
    arguments = parser.parse_args()
    if arguments.verb == "rates":
        rates(arguments.variant, arguments.px)
        return
    if arguments.verb == "stretch":
        stretched(open_bundle(Path(arguments.bundle)), arguments.out)
        return
    case = Case(
        open_bundle(Path(arguments.bundle)),
        open_source(arguments.calibration, "train"),
        open_source(arguments.validation, "test"),
        (arguments.calibration, arguments.validation),
    )
    if arguments.verb == "ladder":
        ladder(case, arguments.methods, arguments.targets)
    elif arguments.verb == "images":
        images(case, arguments.picture)
    elif arguments.verb == "blown-up":
        blown_up(case)
    else:
        refusals(case)


def ladder(case: Case, methods: Iterable[str], targets: Iterable[str]) -> None:
    """Every method that was tried for each target."""
    print(
        "| network, target, method | top-1 | difference in points, 95 % | same class | logit error | seconds | gate |"
    )
    print("| --- | ---: | ---: | ---: | ---: | ---: | --- |")
    for target in targets:
        for method in methods:
            for trial in quantized(case, method=method, to=target).trials:
                name = f"{case.bundle.model.name}, {target}, `{trial.method}`"
                if trial.verdict:
                    print(f"| {name} | {columns(trial.verdict)} | {trial.seconds:.0f} | {outcome(trial.verdict)} |")
                else:
                    print(f"| {name} | not tried: {trial.error} |")
                sys.stdout.flush()


def quantized(case: Case, **options: Any) -> Quantization:
    """What came of it, whether the gate held or not; nothing is kept."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            _, result = quantize_bundle(
                case.bundle,
                case.calibration,
                Path(folder) / "int8",
                validation=case.validation,
                images=CALIBRATED,
                **options,
            )
        except GateFailed as failure:
            result = failure.quantization
    return result


def columns(verdict: Verdict) -> str:
    top1, difference = verdict.candidate.top1, verdict.difference
    shares = f"{100 * verdict.top1_agreement:.2f} % | {verdict.logit_error:.3f}"
    if not top1 or not difference:
        return f"- | - | {shares}"
    change = f"{100 * difference.value:+.2f}, {100 * difference.low:+.2f} to {100 * difference.high:+.2f}"
    return f"{100 * top1.value:.2f} % [{100 * top1.low:.2f}, {100 * top1.high:.2f}] | {change} | {shares}"


def outcome(verdict: Verdict) -> str:
    test = verdict.non_inferiority
    shown = f"; within {100 * test.margin:g} points: {test.verdict}" if test else ""
    needed = f", about {test.images_needed:,} images needed" if test and test.images_needed else ""
    return ("passed" if verdict.passed else "failed") + shown + needed


def blown_up(case: Case) -> None:
    """The same function in numbers that eight bits cannot hold: the naive method, and the ladder."""
    with tempfile.TemporaryDirectory() as folder:
        bundle = rescaled(case.bundle, Path(folder) / "blown-up")
        worse = Case(bundle, case.calibration, case.validation, case.places)
        ladder(worse, ["per-tensor", "auto"], ["onnx"])


def rescaled(bundle: Bundle, out: Path) -> Bundle:
    """Channels between depthwise and pointwise scaled apart, which leaves the function as it is."""
    model, rng = onnx.load(bundle.main_file), np.random.Generator(np.random.PCG64(0))
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    values = {name: onnx.numpy_helper.to_array(tensor).copy() for name, tensor in tensors.items()}
    for pair in conv_pairs(model):
        kernel = values[pair.second.input[1]]
        if kernel.shape[1] == 1:
            continue
        factors = np.exp(rng.uniform(-1, 1, kernel.shape[1]) * np.log(BLOW_UP) / 2).astype(np.float32)
        values[pair.second.input[1]] = kernel / factors[None, :, None, None]
        for name in pair.first.input[1:]:
            values[name] = values[name] * factors.reshape(-1, *(1,) * (values[name].ndim - 1))
    for name, tensor in tensors.items():
        tensor.CopyFrom(onnx.numpy_helper.from_array(values[name], name))
    return rewritten(bundle, model, out)


def stretched(bundle: Bundle, out: Path) -> Bundle:
    """Channels of mini-XCEPTION's residual sums scaled apart, which leaves the function as it is.

    A sum has several readers, so that no pair of convolutions can be equalised across it.
    """
    rng = np.random.Generator(np.random.PCG64(0))
    blocks = bundle.model.network.architecture().blocks
    tensors = {name: value.copy() for name, value in bundle.tensors().items()}
    for number, block in enumerate(blocks[:-1]):
        factors = np.exp(rng.uniform(-1, 1, block.out_channels) * np.log(STRETCH) / 2).astype(np.float32)
        for norm in (f"blocks.{number}.units.{len(block.units) - 1}.after.norm", f"blocks.{number}.shortcut.norm"):
            for leaf in ("weight", "bias"):
                tensors[f"{norm}.{leaf}"] *= factors
        tensors[f"blocks.{number + 1}.units.0.depthwise.weight"] /= factors[:, None, None, None]
        tensors[f"blocks.{number + 1}.shortcut.conv.weight"] /= factors[None, :, None, None]
    return write_bundle(out, bundle.model, bundle.labels, {"weights.safetensors": weights_bytes(tensors)})


def rewritten(bundle: Bundle, model: onnx.ModelProto, out: Path) -> Bundle:
    named = msgspec.structs.replace(bundle.model, name=f"{bundle.model.name} {out.name}")
    return write_bundle(out, named, bundle.labels, int8_onnx_files(model))


def refusals(case: Case) -> None:
    """The sentence and the exit code for each fault that the gate and its checks are there for."""
    calibration, validation = case.places
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        labels = case.bundle.labels
        classes = [labels.names[target] for target in labels.targets(case.calibration.classes)]
        chosen, _ = balanced(case.calibration, CALIBRATED)
        normalised = saved(chosen, classes, folder / "normalised", case.bundle.model.preprocess)
        first = [item for item in case.calibration if item.target == 0]
        one_class = saved(first[:CALIBRATED], classes, folder / "one class")
        guessing = scrambled(case.bundle, folder / "guessing").path
        whole = case.bundle.path
        faults: dict[str, tuple[Path, object, object, tuple[str, ...]]] = {
            "images normalised before they were saved": (whole, normalised, validation, ()),
            "images of one class": (whole, one_class, validation, ()),
            "images that are also judged on": (whole, validation, validation, ()),
            "a model broken on purpose": (guessing, calibration, validation, ()),
            "an int8 model that lost its accuracy": (
                rescaled(case.bundle, folder / "blown-up").path,
                calibration,
                validation,
                ("--method", "per-tensor"),
            ),
        }
        print("| fault | exit code | sentence |\n| --- | ---: | --- |")
        for fault, (bundle, ours, theirs, options) in faults.items():
            code, sentence = told(bundle, ours, theirs, folder / "int8", *options)
            print(f"| {fault} | {code} | {sentence.replace(name, 'FOLDER')} |", flush=True)


def told(bundle: Path, calibration: object, validation: object, out: Path, *options: str) -> tuple[int, str]:
    """The command's exit code and the last line that it says."""
    arguments = ["quantize", bundle, "--calibration", calibration, "--validation", validation, "--out", out, *options]
    said = io.StringIO()
    with redirect_stderr(said), redirect_stdout(io.StringIO()):
        code = run(list(map(str, arguments)))
    return code, said.getvalue().strip().splitlines()[-1]


def saved(items: Iterable[Item], classes: Sequence[str], folder: Path, preprocess: Preprocess | None = None) -> Path:
    """A folder a class; with a preprocessing, pixels are normalised by it and stretched to 8 bits first."""
    for item in items:
        image = loaded_image(item.load()).convert("RGB")
        if preprocess:
            pixels = np.asarray(image) / preprocess.divisor
            normal = (pixels - np.array(preprocess.mean)) / np.array(preprocess.std)
            image = Image.fromarray(np.uint8(np.clip(normal, 0, 1) * 255))
        place = folder / classes[item.class_index or 0]
        place.mkdir(parents=True, exist_ok=True)
        image.save(place / f"{item.key.replace('/', '-')}.png")
    return folder


def scrambled(bundle: Bundle, out: Path) -> Bundle:
    """The classifier's rows in another order, so that no class is right."""
    model = onnx.load(bundle.main_file)
    (tensor,) = (tensor for tensor in model.graph.initializer if tensor.name == "head.classifier.weight")
    tensor.CopyFrom(onnx.numpy_helper.from_array(np.roll(onnx.numpy_helper.to_array(tensor), 1, 0), tensor.name))
    return rewritten(bundle, model, out)


def rates(variant: str, px: int) -> None:
    """A table of images per second at batch 1."""
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


def in_litert(content: bytes) -> Forward:
    interpreter = Interpreter(model_content=content, num_threads=len(os.sched_getaffinity(0)))
    interpreter.allocate_tensors()
    (source,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()

    def forward(pixels: np.ndarray) -> np.ndarray:
        interpreter.set_tensor(source["index"], pixels.transpose(0, 2, 3, 1))
        interpreter.invoke()
        return np.array(interpreter.get_tensor(result["index"]))

    return forward


def _run_onnx(session: onnxruntime.InferenceSession, pixels: np.ndarray) -> Any:
    return session.run(None, {"pixels": pixels})


def compiled(models: dict[str, onnx.ModelProto]) -> dict[str, Forward]:
    """A function of pixels for each runtime and graph that it takes; a refusal is told on stderr."""
    forms: dict[str, Forward] = {}
    for name, model in models.items():
        data = model.SerializeToString()
        session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
        forms[f"onnxruntime {name}"] = partial(_run_onnx, session)
        if "int8, signed" not in name:
            # LiteRT's integers are signed whatever the graph's are.
            forms[f"litert {name.removesuffix(', unsigned')}"] = in_litert(int8_litert_files(model)["model.tflite"])
        for precision in ("f32", "bf16") if name == "float32" else ("f32",):
            try:
                request = openvino_core().compile_model(
                    openvino_core().read_model(data), "CPU", {"INFERENCE_PRECISION_HINT": precision}
                )
            except RuntimeError as error:
                print(f"openvino refuses {name}: {str(error).strip().splitlines()[-1]}", file=sys.stderr)
                continue
            label = "bfloat16" if precision == "bf16" else name
            forms[f"openvino {label}"] = request
    return forms


def images(case: Case, picture: Path | None) -> None:
    """Accuracy, agreement and logit error by number of calibration images, for a few draws of each number."""
    rows = []
    print("| images | top-1 | difference in points, 95 % | same class | logit error |")
    print("| ---: | ---: | ---: | ---: | ---: |")
    for count, verdict in verdicts(case):
        print(f"| {count} | {columns(verdict)} |", flush=True)
        if verdict.difference is not None:
            rows.append((count, 100 * verdict.difference.value, 100 * verdict.top1_agreement, verdict.logit_error))
    if picture:
        draw(rows, picture)


def verdicts(case: Case) -> Iterator[tuple[int, Verdict]]:
    """Of full ranges, by number of calibration images."""
    bundle, model = case.bundle, onnx.load(case.bundle.main_file)
    with Engine.open(bundle) as engine:
        parent = model_outputs(engine, case.validation)
    for count in COUNTS:
        for seed in range(DRAWS):
            chosen, _ = balanced(case.calibration, count, seed)
            graph = Quantizer(model, Calibration(chosen, bundle.model.preprocess)).graph("max")
            with tempfile.TemporaryDirectory() as folder:
                trial = rewritten(bundle, graph, Path(folder) / "trial")
                with Engine.open(trial) as engine:
                    yield count, judge(parent, model_outputs(engine, case.validation))


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
