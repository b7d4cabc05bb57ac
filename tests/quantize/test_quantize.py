from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import msgspec
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from tests.support.lanes import slow_unless
from tests.support.reader import HELD_OUT
from tests.support.samples import labelled
from xception.backends.base import open_session
from xception.backends.graph_session import GraphSession
from xception.backends.graphs import describe_graph
from xception.bundle import GOLDENS, Bundle, open_bundle
from xception.data.digits import digits
from xception.data.source import Items, Source
from xception.errors import CheckFailed, InputError, UnknownName, UsageError
from xception.export.program import GraphOptions
from xception.forms import Form, quantizable
from xception.identity.card import CARD
from xception.pipeline.engine import Engine
from xception.quantize.quantize import Tuning, quantize_bundle
from xception.quantize.record import RECORD, GateFailed, Quantization
from xception.tasks.agreement import data_pixels

TRAIN = digits("train")


def test_int8_within_the_tolerance_is_written_with_its_record(reader: Bundle, tmp_path: Path) -> None:
    written, result = quantize_bundle(reader, TRAIN, tmp_path / "int8", validation=HELD_OUT, images=100)
    assert open_bundle(tmp_path / "int8", verify=True) == written
    assert (result.passed, written.model.passed_gate, written.model.precision) == (True, True, "int8")
    verdict = result.verdict
    assert verdict
    assert verdict.candidate.total == verdict.parent.total == len(HELD_OUT)
    assert verdict.difference
    assert verdict.difference.value >= -0.005
    assert written.model.metrics == {HELD_OUT.name: verdict.candidate}
    assert written.model.agreement
    assert 0.95 <= written.model.agreement.top1_agreement == verdict.top1_agreement
    step = written.model.lineage[-1]
    assert step.parent == reader.model.digest
    assert step.settings["calibration_digest"] == result.calibration.digest
    assert (result.calibration.images, result.calibration.classes) == (100, 10)
    assert msgspec.json.decode((written.path / RECORD).read_bytes(), type=Quantization) == result
    assert open_session(written).facts.num_outputs == 10


def test_blown_up_ranges_ruin_the_naive_method_and_the_ladder_recovers_them(blown_up: Bundle, tmp_path: Path) -> None:
    with pytest.raises(GateFailed) as naive:
        quantize_bundle(blown_up, TRAIN, tmp_path / "naive", validation=HELD_OUT, method="per-tensor", images=100)
    lost = naive.value.quantization.verdict
    assert lost
    assert lost.difference
    assert lost.difference.value < -0.2
    _, result = quantize_bundle(blown_up, TRAIN, tmp_path / "int8", validation=HELD_OUT, images=100)
    assert result.verdict
    assert result.verdict.difference
    assert result.verdict.difference.value >= -0.005
    assert [trial.passed for trial in result.trials] == [False] * (len(result.trials) - 1) + [True]
    assert len(result.trials) > 1


def test_a_result_beyond_the_tolerance_is_reported_and_not_written(reader: Bundle, tmp_path: Path) -> None:
    with pytest.raises(GateFailed, match=r"int8 by max: .* no bundle was written") as failure:
        quantize_bundle(reader, TRAIN, tmp_path / "q", validation=HELD_OUT, images=100, method="max", tolerance=0.0)
    assert not list(tmp_path.iterdir())
    assert failure.value.exit_code == 1
    assert failure.value.quantization.verdict
    assert failure.value.quantization.bundle is None


def test_a_failed_model_may_be_kept_and_is_marked(reader: Bundle, tmp_path: Path) -> None:
    with pytest.raises(GateFailed, match="is marked as failed"):
        quantize_bundle(
            reader,
            TRAIN,
            tmp_path / "q",
            validation=HELD_OUT,
            images=100,
            method="max",
            tolerance=0.0,
            keep_failed=True,
        )
    assert open_bundle(tmp_path / "q", verify=True).model.passed_gate is False


def test_strictness_demands_what_few_images_cannot_show(reader: Bundle, tmp_path: Path) -> None:
    with pytest.raises(GateFailed, match="as --strict demands"):
        quantize_bundle(
            reader,
            TRAIN,
            tmp_path / "q",
            validation=HELD_OUT,
            images=100,
            method="max",
            tuning=Tuning(is_strict=True),
        )


def test_openvino_runs_its_int8_file(reader: Bundle, tmp_path: Path) -> None:
    written, result = quantize_bundle(
        reader, TRAIN, tmp_path / "q", validation=HELD_OUT, images=100, to="openvino", method="equalized"
    )
    assert (written.model.form, written.model.precision, result.passed) == ("openvino", "int8", True)
    assert set(written.model.files) == {CARD, "labels.txt", "model.bin", "model.xml", RECORD, GOLDENS}


def test_litert_runs_its_int8_file(reader: Bundle, tmp_path: Path) -> None:
    written, result = quantize_bundle(
        reader, TRAIN, tmp_path / "q", validation=HELD_OUT, images=100, to="litert", method="equalized"
    )
    assert (written.model.form, written.model.precision, result.passed) == ("litert", "int8", True)
    assert set(written.model.files) == {CARD, "labels.txt", "model.tflite", RECORD, GOLDENS}
    assert "ai-edge-litert" in written.model.lineage[-1].tools
    assert open_session(written).facts.input_shape == open_session(reader).facts.input_shape
    assert result.verdict
    assert result.verdict.top1_agreement > 0.97


def test_a_litert_file_that_lost_its_accuracy_is_refused(blown_up: Bundle, tmp_path: Path) -> None:
    with pytest.raises(GateFailed, match=r"more than the 0\.5 points allowed"):
        quantize_bundle(
            blown_up, TRAIN, tmp_path / "q", validation=HELD_OUT, images=100, to="litert", method="per-tensor"
        )
    assert not list(tmp_path.iterdir())


def test_images_without_labels_are_judged_by_agreement(reader: Bundle, tmp_path: Path) -> None:
    bare = Items("bare", (), tuple(replace(item, target=None) for item in TRAIN.items[:300]))
    _, result = quantize_bundle(reader, bare, tmp_path / "q", images=60, method="equalized")
    assert result.verdict
    assert (result.verdict.difference, result.verdict.candidate.top1, result.calibration.classes) == (None, None, None)
    assert result.verdict.candidate.seen == 240
    assert result.verdict.top1_agreement >= 0.98
    assert written_metrics(tmp_path / "q") == {"bare": result.verdict.candidate}


def written_metrics(path: Path) -> object:
    return open_bundle(path).model.metrics


def test_a_model_that_guesses_is_refused(reader: Bundle, tmp_path: Path) -> None:
    model = msgspec.structs.replace(
        reader.model, preprocess=msgspec.structs.replace(reader.model.preprocess, mean=(90.0,))
    )
    with pytest.raises(CheckFailed, match="no better than guessing among 10 classes"):
        quantize_bundle(replace(reader, model=model), TRAIN, tmp_path / "q", validation=HELD_OUT)


@pytest.mark.parametrize("tolerance", [-1.0, 1.0, float("nan")])
def test_a_tolerance_that_is_no_fraction_is_refused(tolerance: float, reader: Bundle, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected a fraction from 0 to below 1"):
        quantize_bundle(reader, TRAIN, tmp_path / "q", validation=HELD_OUT, tolerance=tolerance)


COMBINED: dict[str, dict[str, Any]] = {
    "fixed batch": {"fixed_batch": 3},
    "free size": {"free_size": True},
    "images in, all outputs": {"image_input": True, "probabilities": True, "top_k": 2, "class_maps": True},
    "names and opset": {"input_name": "face", "output_name": "mood", "opset": 13},
}


@pytest.mark.parametrize("to", quantizable())
@pytest.mark.parametrize(
    "options", slow_unless(lambda options: "image_input" in options, COMBINED.values()), ids=COMBINED
)
def test_int8_combines_with_every_option(
    options: dict[str, Any], to: Form, reader_weights: Bundle, tmp_path: Path
) -> None:
    quantized, result = quantize_bundle(
        reader_weights,
        TRAIN,
        tmp_path / "q",
        validation=HELD_OUT,
        images=40,
        method="max",
        to=to,
        tolerance=0.03,
        options=GraphOptions(**options),
    )
    assert [step.verb for step in quantized.model.lineage] == ["export", "quantize"]
    assert quantized.model.lineage[0].parent == reader_weights.model.digest
    assert result.verdict
    assert result.verdict.top1_agreement > 0.95
    described = describe_graph(quantized.main_file)
    assert [port.name for port in described.inputs or ()] == [quantized.graph.input_name]
    assert [port.name for port in described.outputs or ()] == list(quantized.graph.outputs)
    assert quantized.graph.input_shape[0] == options.get("fixed_batch")
    pixels = data_pixels(HELD_OUT, reader_weights.model.preprocess, 3)
    with closing(open_session(quantized)) as session:
        outputs = cast(GraphSession, session).outputs(pixels)
    if quantized.graph.class_maps:
        assert np.array_equal(outputs["class_maps"].mean((2, 3)).argmax(1), outputs["probabilities"].argmax(1))
        assert np.array_equal(outputs["top_indices"][:, 0], outputs["probabilities"].argmax(1))


@pytest.mark.parametrize("image_input", [False, True])
def test_litert_takes_and_gives_integers(image_input: bool, reader_weights: Bundle, tmp_path: Path) -> None:
    written, result = quantize_bundle(
        reader_weights,
        TRAIN,
        tmp_path / "q",
        validation=HELD_OUT,
        images=40,
        method="max",
        to="litert",
        tolerance=0.03,
        options=GraphOptions(image_input=image_input),
        tuning=Tuning(has_integer_ports=True),
    )
    described = describe_graph(written.main_file)
    assert [port.dtype for port in described.inputs or ()] == ["uint8" if image_input else "int8 on a grid"]
    assert [port.dtype for port in described.outputs or ()] == ["int8 on a grid"]
    assert result.verdict
    assert result.verdict.top1_agreement > 0.95
    interpreter = Interpreter(str(written.main_file))
    assert {tensor["dtype"] for tensor in interpreter.get_tensor_details() if tensor["name"] != "image"} == {
        np.int8,
        np.int32,
    }


@pytest.mark.parametrize(("option", "what"), [("method", "method"), ("to", "target")])
def test_unknown_names_are_refused(option: str, what: str, onnx_bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match=f"unknown {what} 'mix'"):
        quantize_bundle(onnx_bundle, labelled(60), tmp_path / "q", **{option: "mix"})


def test_a_method_that_is_not_available_is_noted_and_the_next_one_tried(
    reader: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise InputError("not today")

    monkeypatch.setattr("xception.quantize.ladder.quantize_by_nncf", refuse)
    monkeypatch.setattr("xception.quantize.ladder.LADDER", ("nncf", "max"))
    _, result = quantize_bundle(reader, TRAIN, tmp_path / "q", validation=HELD_OUT, images=100, tolerance=0.05)
    assert [(trial.method, trial.error) for trial in result.trials] == [("nncf", "not today"), ("max", None)]
    with pytest.raises(InputError, match="not today"):
        quantize_bundle(reader, TRAIN, tmp_path / "r", validation=HELD_OUT, images=100, method="nncf")


def test_the_given_way_to_run_models_serves_the_parent_and_every_trial(reader: Bundle, tmp_path: Path) -> None:
    opened: list[str] = []

    def open_engine(bundle: Bundle, source: Source) -> Engine:
        opened.append(bundle.model.precision)
        return Engine.open(bundle, source=source, batch_size=4)

    quantize_bundle(
        reader, TRAIN, tmp_path / "q", validation=HELD_OUT, images=100, method="max", open_engine=open_engine
    )
    assert opened == ["float32", "int8"]
