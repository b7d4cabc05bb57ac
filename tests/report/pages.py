from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from xception.bundle import Agreement, Bundle, FileHash, Model, Network, Precision, Step
from xception.forms import FORMS, Form
from xception.intervals import wilson
from xception.labels import Labels
from xception.pipeline.timing import Latency, Rate, bound
from xception.preprocess import Preprocess
from xception.report.document import FormRow, MistakeCard, Report
from xception.report.heading import Card, Heading, Origin
from xception.speed.benchmark import Run, Stage
from xception.tasks.evaluation import Evaluation, FailedImage
from xception.train.logs import Epoch

LABELS = tuple(map(str, range(10)))


def confusion(classes: int, wrong: dict[tuple[int, int], int], each: int = 36) -> tuple[tuple[int, ...], ...]:
    counts = np.eye(classes, dtype=int) * each
    for (target, predicted), count in wrong.items():
        counts[target, predicted] += count
        counts[target, target] -= count
    return tuple(tuple(map(int, row)) for row in counts)


def evaluation(
    wrong: dict[tuple[int, int], int],
    labels: tuple[str, ...] = LABELS,
    failures: tuple[FailedImage, ...] = (),
    backend: str = "onnxruntime",
) -> Evaluation:
    counts = confusion(len(labels), wrong)
    seen, hits = int(np.sum(counts)), int(np.trace(counts))
    return Evaluation(
        bundle="runs/digits",
        data="digits:test",
        backend=backend,
        total=seen + len(failures),
        seen=seen,
        failed=len(failures),
        top1=wilson(hits, seen),
        top5=wilson(seen, seen),
        loss=0.0537,
        labels=labels,
        confusion=counts,
        mistakes=(),
        failures=failures,
    )


def latency(p50: float) -> Latency:
    return Latency(p50=p50, p90=1.2 * p50, p99=1.5 * p50, samples=160)


def run(stages: dict[str, float], end_to_end: float, backend: str = "onnxruntime", precision: str = "float32") -> Run:
    def spread(value: float) -> dict[str, float]:
        low, high = 0.93 * value, 1.04 * value
        quartiles = {"lower_quartile": 0.97 * value, "upper_quartile": 1.02 * value}
        return {"images_per_second": value, "low": low, "high": high, **quartiles}

    most = bound(stages, {**dict.fromkeys(stages, 1.0), "postprocess": 0.5})
    return Run(
        batch=8,
        backend=backend,
        precision=precision,
        images=256,
        failed=0,
        stages={stage: Stage(busy=0.2, waiting=0.05, **spread(value)) for stage, value in stages.items()},
        end_to_end=Rate(**spread(end_to_end)),
        latency_ms=latency(8000 / stages["infer"]),
        answer_ms=latency(24_000 / stages["infer"]),
        bottleneck=most.bottleneck,
        bound_images_per_second=most.images_per_second,
        bound_by=most.by,
        efficiency=end_to_end / most.images_per_second,
        efficiency_low=0.9 * end_to_end / most.images_per_second,
        efficiency_high=1.1 * end_to_end / most.images_per_second,
        accuracy=None,
        peak_memory_bytes=123_456_789,
    )


def bundle(
    form: Form,
    precision: Precision,
    size_bytes: int,
    digest: str,
    agreement: Agreement | None = None,
    passed_gate: bool | None = None,
    lineage: tuple[Step, ...] = (),
) -> Bundle:
    model = Model(
        name="digits",
        network=Network(variant="tiny_xception", num_classes=10, in_channels=1),
        form=form,
        precision=precision,
        preprocess=Preprocess(color="gray", mean=(0.5,), std=(0.5,)),
        agreement=agreement,
        passed_gate=passed_gate,
        lineage=lineage,
        files={
            name: FileHash(sha256="0" * 64, size_bytes=0 if number else size_bytes)
            for number, name in enumerate(FORMS[form].files)
        },
        digest=digest * 8,
    )
    return Bundle(path=Path("runs/digits"), model=model, labels=Labels(LABELS))


def agreement(difference: float, top1: float) -> Agreement:
    return Agreement(
        samples=64,
        max_abs_diff=difference,
        mean_abs_diff=difference / 7,
        relative_diff=difference / 20,
        top1_agreement=top1,
    )


TRAINED = Step(verb="train", parent=None, tools={"torch": "2.13.0"}, settings={"seed": 0, "epochs": 24, "lr": 0.02})
EXPORTED = Step(verb="export", parent="4be1c09d" * 8, tools={"onnx": "1.20.0"}, settings={"opset": 18})
QUANTIZED = Step(verb="quantize", parent="90ad77e2" * 8, tools={"onnxruntime": "1.25.1"}, settings={"method": "max"})
COMPILED = Step(verb="export", parent="90ad77e2" * 8, tools={"openvino": "2026.1.0"})


def form_rows() -> tuple[FormRow, ...]:
    few, more = {(8, 1): 1, (9, 3): 2, (5, 9): 1}, {(8, 1): 2, (9, 3): 2, (5, 9): 1, (1, 8): 1}
    return (
        FormRow(
            name="trained weights",
            bundle=bundle("weights", "float32", 2_483_112, "4be1c09d", lineage=(TRAINED,)),
            evaluation=evaluation(few, backend="torch"),
            run=run({"read": 812_345, "preprocess": 21_950, "infer": 1_684, "postprocess": 61_200}, 1_374, "torch"),
        ),
        FormRow(
            name="ONNX",
            bundle=bundle("onnx", "float32", 2_467_904, "90ad77e2", agreement(2.3e-6, 1.0), None, (TRAINED, EXPORTED)),
            evaluation=evaluation(few),
            run=run({"read": 803_111, "preprocess": 22_104, "infer": 3_915, "postprocess": 60_870}, 2_990),
        ),
        FormRow(
            name="OpenVINO",
            bundle=bundle(
                "openvino",
                "float32",
                2_472_551,
                "1c55f03b",
                agreement(4.1e-6, 1.0),
                None,
                (TRAINED, EXPORTED, COMPILED),
            ),
            evaluation=evaluation(few, backend="openvino"),
            run=run({"read": 806_480, "preprocess": 22_020, "infer": 4_388, "postprocess": 61_050}, 3_310, "openvino"),
        ),
        FormRow(
            name="ONNX int8",
            bundle=bundle(
                "onnx", "int8", 689_210, "e7d240aa", agreement(0.41, 0.984375), True, (TRAINED, EXPORTED, QUANTIZED)
            ),
            evaluation=evaluation(more),
            run=run(
                {"read": 809_020, "preprocess": 21_870, "infer": 6_240, "postprocess": 61_333}, 4_320, precision="int8"
            ),
        ),
    )


def training_log(epochs: int = 24) -> tuple[Epoch, ...]:
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.01, (3, epochs))
    return tuple(
        Epoch(
            epoch=epoch,
            steps=34 * epoch,
            lr=0.001,
            train_loss=float(2.1 * np.exp(-epoch / 4) + 0.03 + abs(noise[0, epoch - 1])),
            validation_loss=float(1.8 * np.exp(-epoch / 4) + 0.07 + abs(noise[1, epoch - 1])),
            validation_top1=float(min(0.9916, 0.99 - 0.7 * np.exp(-epoch / 3) + noise[2, epoch - 1] / 3)),
            seconds=2.5 * epoch,
            images_per_second=450.0,
            ms_per_step=70.0,
            devices=1,
        )
        for epoch in range(1, epochs + 1)
    )


def mistake(key: str, label: str = "9", predicted: str = "3", probability: float = 0.9731) -> MistakeCard:
    rng = np.random.default_rng(int(key[:4]))
    image = Image.fromarray(rng.integers(0, 256, (8, 8), np.uint8))
    return MistakeCard(
        image=image,
        class_map=rng.random((4, 4), np.float32),
        label=label,
        predicted=predicted,
        probability=probability,
        key=key,
    )


def sample() -> Report:
    return Report(
        heading=Heading(
            title="tiny_xception on handwritten digits",
            conclusion=(
                "Trained for 24 epochs on 1,078 images and evaluated on 360 held-out ones; exported, quantized to int8 "
                "and measured on the machine described below. Every figure stands for the files with the digests given."
            ),
            cards=(
                Card(label="Test accuracy", value="98.89 %", note="97.18 to 99.57 %, 360 images"),
                Card(label="int8 accuracy", value="98.33 %", note="gate passed, at most 1 point lost"),
                Card(label="Best rate", value="4,320 /s", note="ONNX int8, end to end"),
                Card(label="Size", value="0.69 MB", note="int8, from 2.48 MB"),
            ),
            origin=Origin(versions={"xception": "0.2.0"}, date="2026-11-27T02:34:00+00:00", command="xception demo"),
        ),
        history=training_log(),
        forms=form_rows(),
        mistakes=tuple(mistake(f"{number:04d}") for number in (17, 204, 873, 1190)),
        environment={"cpu": "Xeon Platinum", "cores": 2, "python": "3.11.13", "onnxruntime": "1.25.1"},
    )


def with_evaluation(page: Report, evaluated: Evaluation) -> Report:
    """The page with another evaluation of its first form."""
    return replace(page, forms=(replace(page.forms[0], evaluation=evaluated), *page.forms[1:]))
