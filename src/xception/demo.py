"""The demonstration: one network trained, exported, quantized and measured on real images, with a page of it all."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from xception.bundle import Agreement, Bundle, open_bundle
from xception.data.source import Source
from xception.data.sources import open_source
from xception.errors import EnvironmentFault
from xception.extras import require_all
from xception.outputs import ensure_free, json_document, write_file
from xception.pipeline.engine import Engine
from xception.quantize.speed import Int8Speed, drawn_network_speed
from xception.speed.benchmark import Benchmark, benchmark
from xception.tasks.evaluate import evaluate
from xception.tasks.evaluation import Evaluation
from xception.tasks.provenance import CommandRun, run_now
from xception.train.logs import Epoch, read_history
from xception.train.storage import open_storage
from xception.waits import counted

if TYPE_CHECKING:
    from xception.report.document import MistakeCard
    from xception.report.heading import Card

RECIPE = "digits"
BATCHES = (1, 8)
BENCHMARK_IMAGES = 256

DEMO_STEPS = 8
"""Steps: training, exports, quantization, the measurement of each of four forms, and a race."""

EXAMPLE_IMAGES = "images"
"""Folder with a held-out image of each class as a file, to try the result on."""

SPEED_VARIANT, SPEED_WIDTH, SPEED_PX = "timm_xception", 0.5, 224
SPEED_WORDS = "timm_xception at half its width and 224 px"
"""The network whose int8 is raced: digits need one so small that nothing is won there."""

REQUIRED = (
    *("torch", "lightning_fabric", "tensorboard", "sklearn"),
    *("onnx", "onnxruntime", "openvino"),
    *("jinja2", "matplotlib"),
)
"""Packages of all steps, so that what is missing is named before the first step."""


class FormResult(msgspec.Struct, frozen=True, kw_only=True):
    """One form of the trained model in `demo.json`."""

    name: str
    path: str
    form: str
    precision: str
    size_bytes: int
    digest: str
    evaluation: Evaluation
    agreement: Agreement | None
    passed_gate: bool | None
    benchmark: Benchmark

    @property
    def images_per_second(self) -> float:
        """End-to-end rate at the best batch size."""
        return max(run.end_to_end.images_per_second for run in self.benchmark.runs)


class DemoResult(msgspec.Struct, frozen=True, kw_only=True):
    """All of `demo.json`. Accuracies are fractions on the held-out test part."""

    recipe: str
    seconds: Mapping[str, float]
    """Duration of each step, by name."""
    history: tuple[Epoch, ...]
    """The training log, one row per epoch."""
    forms: tuple[FormResult, ...]
    int8_speed: Int8Speed
    """Speed of int8 for a network of a common size, for which it means something."""
    report: str
    """Path of the page."""


class Steps:
    """The steps of the demonstration: each is announced, and its duration kept."""

    def __init__(self, on_note: Callable[[str], None]) -> None:
        self.on_note = on_note
        self.seconds: dict[str, float] = {}

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        start, place = perf_counter(), f"step {len(self.seconds) + 1} of {DEMO_STEPS}"
        self.on_note(f"{place}: {name}")
        with counted(f"{place}: {name}"):
            yield
        self.seconds[name] = round(perf_counter() - start, 3)


def run_demo(
    out: Path,
    *,
    overwrite: bool = False,
    on_note: Callable[[str], None] = lambda _: None,
    run: CommandRun | None = None,
) -> DemoResult:
    """Train mini-XCEPTION on handwritten digits, export, quantize and measure it, and write all of that to a folder.

    Args:
        out: folder for `report.html`, `demo.json`, `training/`, `images/` with one held-out image per class, and
            `bundles/` with one bundle per form.
        overwrite: replace an earlier demonstration in that folder.
        on_note: told in a sentence how the work goes on.
        run: the command that runs it; by default a program, now.

    Raises:
        MissingExtra: a package that one of the steps needs is not installed.
        InputError: the folder holds something else, or `overwrite` was not given.
        EnvironmentFault: the folder cannot be written.
    """
    require_all(*REQUIRED)
    _claim(out, overwrite=overwrite)
    on_note("this trains and measures a small network; it takes about a minute on two cores, and downloads nothing")
    steps = Steps(on_note)
    bundles = _make_bundles(out, steps)
    test = open_source(f"{RECIPE}:test")
    forms = tuple(_measure(name, bundle, test, steps) for name, bundle in bundles.items())
    with steps.timed(f"race int8 against float32, {SPEED_WORDS}"):
        int8_speed = drawn_network_speed(SPEED_VARIANT, width=SPEED_WIDTH, px=SPEED_PX)
    result = DemoResult(
        recipe=RECIPE,
        seconds=steps.seconds,
        history=read_history(open_storage(out / "training")),
        forms=forms,
        int8_speed=int8_speed,
        report=str(out / "report.html"),
    )
    _write(out, result, bundles, test, run or run_now())
    _write_images(out / EXAMPLE_IMAGES, test)
    return result


def _claim(out: Path, *, overwrite: bool) -> None:
    """Make the folder; remove an earlier demonstration if that is wanted, and nothing else."""
    ensure_free(out, "a demonstration", marker="training", overwrite=overwrite)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EnvironmentFault(f"cannot write to {out}: {error.strerror}; choose a place you may write to") from error
    for part in ("training", "bundles", EXAMPLE_IMAGES):
        shutil.rmtree(out / part, ignore_errors=True)
    for part in ("report.html", "demo.json"):
        (out / part).unlink(missing_ok=True)


def _make_bundles(out: Path, steps: Steps) -> dict[str, Bundle]:
    """Train, export and quantize; returns the bundle of each form, by name."""
    from xception.export.export import export_bundle
    from xception.quantize.quantize import quantize_bundle
    from xception.tasks.agreement import data_pixels
    from xception.train.recipe import load_recipe
    from xception.train.trainer import train_network

    folder = out / "bundles"
    with steps.timed("train"):
        trained = train_network(load_recipe(RECIPE), out=out / "training", on_note=steps.on_note)
        folder.mkdir()
        shutil.copytree(trained.path, folder / "weights")
        weights = open_bundle(folder / "weights", verify=True)
    validation = open_source(f"{RECIPE}:validation")
    with steps.timed("export"):
        pixels = data_pixels(validation, weights.model.preprocess)
        onnx = export_bundle(weights, "onnx", folder / "onnx", pixels=pixels)
        openvino = export_bundle(weights, "openvino", folder / "openvino", pixels=pixels)
    with steps.timed("quantize"):
        int8, _ = quantize_bundle(onnx, open_source(f"{RECIPE}:train"), folder / "onnx-int8", validation=validation)
    return {"weights": weights, "onnx": onnx, "openvino": openvino, "onnx-int8": int8}


def _measure(name: str, bundle: Bundle, test: Source, steps: Steps) -> FormResult:
    """Measure accuracy and speed of one form on the held-out images."""
    with steps.timed(f"measure {name}"), Engine.open(bundle) as engine:
        return FormResult(
            name=name,
            path=str(bundle.path),
            form=bundle.model.form,
            precision=bundle.model.precision,
            size_bytes=bundle.size_bytes,
            digest=bundle.model.digest,
            evaluation=evaluate(engine, test),
            agreement=bundle.model.agreement,
            passed_gate=bundle.model.passed_gate,
            benchmark=benchmark(engine, test, batches=BATCHES, images=BENCHMARK_IMAGES),
        )


def _write(out: Path, result: DemoResult, bundles: Mapping[str, Bundle], test: Source, run: CommandRun) -> None:
    from xception.report.document import FormRow, Report
    from xception.report.heading import Heading, origin
    from xception.report.html import render

    environment = {key: value for form in result.forms for key, value in form.benchmark.environment.items()}
    heading = Heading(
        title="mini-XCEPTION on handwritten digits",
        conclusion=_conclusion(result),
        conditions=f"Trained, judged on {len(test)} held-out images, exported, quantized and measured on this machine.",
        origin=origin(run, environment),
        cards=_cards(result),
    )
    report = Report(
        heading=heading,
        history=result.history,
        forms=tuple(
            FormRow(name=form.name, bundle=bundles[form.name], evaluation=form.evaluation, run=form.benchmark.runs[-1])
            for form in result.forms
        ),
        mistakes=tuple(_mistakes(bundles["weights"], result.forms[0].evaluation, test)),
        environment=environment,
    )
    write_file(out / "report.html", render(report).encode())
    write_file(out / "demo.json", json_document(result))


def _write_images(folder: Path, test: Source) -> None:
    """Write the first image of each class as a file that is called like the class."""
    from xception.data.decode import loaded_image

    folder.mkdir()
    firsts = {item.class_index: item for item in reversed(list(test))}
    for index, item in firsts.items():
        if index is not None:
            loaded_image(item.load()).save(folder / f"{test.classes[index]}.png")


def _conclusion(result: DemoResult) -> str:
    """The agreement of the exports, and the verdicts on int8."""
    int8 = result.forms[-1]
    return (
        f"The exported files compute what was trained, relative difference at most {_difference(result):.1e}. "
        f"The int8 file {'passed' if int8.passed_gate else 'failed'} the gate on accuracy. For {SPEED_WORDS}, "
        f"{result.int8_speed.sentence()}."
    )


def _difference(result: DemoResult) -> float:
    """The largest relative difference of logits in float32."""
    return max(form.agreement.relative_diff for form in result.forms if form.agreement and form.precision == "float32")


def _cards(result: DemoResult) -> "tuple[Card, ...]":
    """The headline figures of the page."""
    from xception.report.evaluation import accuracy_card
    from xception.report.heading import Card
    from xception.report.html import percent_text
    from xception.report.quantization import speed_card

    first, int8 = result.forms[0], result.forms[-1]
    size = percent_text(int8.size_bytes / first.size_bytes, 0)
    return (
        accuracy_card("Test accuracy", first.evaluation.top1, f", {first.evaluation.total} images"),
        accuracy_card("int8 accuracy", int8.evaluation.top1, ", gate passed"),
        Card(
            label="Export agreement",
            value=f"{_difference(result):.1e}",
            note="largest relative logit difference in float32",
        ),
        speed_card(result.int8_speed, f", {SPEED_WORDS}"),
        Card(label="int8 size", value=size, note="of the float32 weights"),
        Card(label="Training", value=f"{result.seconds['train']:.0f} s", note=f"{len(result.history)} epochs"),
    )


def _mistakes(bundle: Bundle, evaluation: Evaluation, test: Source) -> "Iterator[MistakeCard]":
    """The wrongly classified images, each with the map of its predicted class."""
    import torch

    from xception.data.decode import loaded_image
    from xception.models.network import build
    from xception.report.document import MistakeCard

    network = build(bundle.model.network.architecture(), bundle.tensors()).eval()
    items = {item.key: item for item in test}
    for mistake in evaluation.mistakes:
        image = loaded_image(items[mistake.path].load(), orientation=bundle.model.preprocess.orientation)
        with torch.inference_mode():
            maps = network.class_maps(torch.from_numpy(bundle.model.preprocess(image)[None]))[0]
        yield MistakeCard(
            image=image,
            class_map=np.asarray(maps[bundle.labels.names.index(mistake.predicted)]),
            label=mistake.label,
            predicted=mistake.predicted,
            probability=mistake.probability,
            key=mistake.path,
        )
