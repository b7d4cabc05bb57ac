"""Static quantization of a bundle to int8: one method after another until one passes the gate."""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import msgspec

from xception.arguments import as_path
from xception.backends.base import BACKENDS, default_backend
from xception.backends.validity import check_files
from xception.bundle import Bundle, Model, as_bundle, child, ensure_free_for_bundle, write_bundle
from xception.data.source import Items, Source
from xception.data.training_images import carried
from xception.errors import CheckFailed, UnknownName, UsageError, XceptionError
from xception.export.program import GraphOptions
from xception.export.regraph import graph_in_form
from xception.extras import require
from xception.forms import FORMS, QUANTIZABLE_FROM, Form, quantizable
from xception.goldens import images_of, write_with_goldens
from xception.identity.identity import with_identity
from xception.intervals import points_text
from xception.outputs import json_document
from xception.pipeline.engine import Engine
from xception.quantize.body import with_names
from xception.quantize.calibration import (
    CALIBRATION_IMAGES,
    Calibration,
    Provenance,
    check_calibration,
    labelled_for,
    split,
)
from xception.quantize.gate import TOLERANCE, Verdict, check_parent, judge
from xception.quantize.ladder import METHODS, Method, Quantizer
from xception.quantize.layers import layer_errors
from xception.quantize.outputs import Outputs, class_flips, model_outputs
from xception.quantize.parent import float_graph
from xception.quantize.processor import WeightBits, check_weight_bits, processor
from xception.quantize.qdq import scales
from xception.quantize.record import RECORD, GateFailed, Quantization, Trial
from xception.quantize.speed import Int8Speed, int8_speed
from xception.quantize.tensorrt import check_tensorrt
from xception.quantize.trained import trained_ranges
from xception.tasks.agreement import agreement_of
from xception.waits import counted

ADVICE = "calibrate on other or more images, or allow a larger loss"


OpenEngine = Callable[[Bundle, Source], Engine]
"""Opens a bundle for the images of a source."""


class Tuning(msgspec.Struct, frozen=True, kw_only=True):
    """Options that rarely need changing."""

    is_signed: bool = False
    """Signed activations with the zero point 0 everywhere, and biases in float, as TensorRT demands."""
    has_integer_ports: bool = False
    """Images go in and logits come out as integers, for processors that know nothing else."""
    weight_bits: WeightBits = 7
    """Bits of a weight; 8 only for processors that do not saturate, see `xception.quantize.processor`."""
    is_strict: bool = False
    """Pass only what is shown to be within the tolerance with 95 % confidence."""
    with_speed: bool = False
    """Measure the speed next to that of the float graph."""
    with_sensitivity: bool = False
    """Measure the error of each layer by itself even if no method needs it."""


@dataclass(frozen=True)
class _Attempt:
    trial: Trial
    graph: Any = None
    files: Mapping[str, bytes] | None = None
    outputs: Outputs | None = None

    @property
    def rank(self) -> tuple[float, float]:
        """Higher is better: the accuracy, then the agreement."""
        verdict = self.trial.verdict
        return (verdict.difference.value if verdict.difference else 0, verdict.top1_agreement) if verdict else (-2, 0)


@dataclass(frozen=True)
class _Job:
    bundle: Bundle
    quantizer: Quantizer
    held_out: Source
    parent: Outputs
    tolerance: float
    tuning: Tuning
    open_engine: OpenEngine


def quantize_bundle(
    bundle: Bundle | str | Path,
    calibration: Source,
    out: str | Path,
    *,
    validation: Source | None = None,
    method: Method | Literal["auto"] = "auto",
    to: Form = "onnx",
    images: int = CALIBRATION_IMAGES,
    tolerance: float = TOLERANCE,
    options: GraphOptions | None = None,
    tuning: Tuning | None = None,
    open_engine: OpenEngine | None = None,
    keep_failed: bool = False,
    overwrite: bool = False,
) -> tuple[Bundle, Quantization]:
    """Quantize a bundle to int8, and write the result only if it keeps the accuracy of the bundle.

    Args:
        bundle: a bundle with weights or with an ONNX graph in float32, exported or adopted; or its folder.
        calibration: data for the ranges of the activations; `images` of them are used, balanced over the classes.
        out: path of the int8 bundle.
        validation: images for the gate, with or without labels; by default the calibration data's other images.
        method: a key of `METHODS`, or `auto` for the first of `Quantizer.ladder` that passes.
        to: a form of `forms.quantizable()`.
        images: number of images for calibration.
        tolerance: largest loss of top-1 accuracy, as a fraction.
        options: options of the graph, for a bundle of weights; a finished graph is not changed.
        tuning: options that rarely need changing.
        open_engine: opens the float bundle, and each int8 bundle that is tried; by default in their own runtimes.
        keep_failed: if no method passes, write the model that came closest, marked as failed, before the error.
        overwrite: replace a bundle that lies at `out`.

    Raises:
        UsageError: a bundle that int8 cannot be made of, options that do not fit, or no such method or target.
        InputError: data that overlap, are too few, cannot be read or do not fit the model.
        EnvironmentFault: weights of eight bits on a processor that saturates.
        GateFailed: no method keeps the accuracy; nothing is written unless `keep_failed`.
        CheckFailed: the bundle itself is no better than guessing.
    """
    bundle, out = as_bundle(bundle), as_path(out, "a new bundle")
    tuning, options = tuning or Tuning(), options or GraphOptions()
    _check_names(method, to)
    _check_tolerance(tolerance)
    ensure_free_for_bundle(out, overwrite=overwrite)
    with float_graph(bundle, to, options, has_integer_ports=tuning.has_integer_ports) as parent:
        images_of = split(calibration, validation, images)
        job = _job(parent, *images_of, tolerance, to, tuning, open_engine or _open_engine)
        methods = job.quantizer.ladder if method == "auto" else (method,)
        return _quantized(job, methods, out, keep_failed, overwrite=overwrite)


def _quantized(
    job: _Job, methods: tuple[Method, ...], out: Path, keep_failed: bool, *, overwrite: bool
) -> tuple[Bundle, Quantization]:
    attempts = _climb(job, methods)
    best = max(attempts, key=lambda attempt: (attempt.trial.passed, attempt.rank))
    result = _result(job, attempts, best)
    if not result.passed and (not keep_failed or best.files is None):
        raise GateFailed(f"{result.sentence()}; no bundle was written; {ADVICE}", result)
    result = msgspec.structs.replace(result, bundle=str(out), speed=_speed(job, best))
    written = _write(job, best, result, out, overwrite=overwrite)
    if not result.passed:
        raise GateFailed(f"{result.sentence()}; the bundle {out} is marked as failed", result)
    return written, result


def _job(
    bundle: Bundle,
    calibration: Items,
    held_out: Source,
    tolerance: float,
    target: Form,
    tuning: Tuning,
    open_engine: OpenEngine,
) -> _Job:
    """All that the attempts have in common, after the bundle and the images were found fit."""
    check_weight_bits(tuning.weight_bits, processor())
    pictures = Calibration(labelled_for(bundle, calibration), bundle.model.preprocess, bundle.graph)
    parent = _checked_parent(bundle, pictures, held_out, open_engine)
    model = with_names(require("onnx", "quantize").load_from_string(bundle.content()))
    quantizer = Quantizer(
        model,
        pictures,
        is_signed=tuning.is_signed,
        weight_bits=tuning.weight_bits,
        target=target,
        has_integer_ports=tuning.has_integer_ports,
        trained=trained_ranges(bundle),
    )
    return _Job(bundle, quantizer, held_out, parent, tolerance, tuning, open_engine)


def _check_names(method: str, to: str) -> None:
    if method not in ("auto", *METHODS):
        raise UnknownName("method", method, ("auto", *METHODS))
    if to not in quantizable():
        raise UnknownName("target", to, quantizable())


def _check_tolerance(tolerance: float) -> None:
    if not 0 <= tolerance < 1:
        raise UsageError(
            f"the tolerance is {tolerance:g}; expected a fraction from 0 to below 1, such as {TOLERANCE:g} for "
            f"{points_text(TOLERANCE)}"
        )


def _open_engine(bundle: Bundle, source: Source) -> Engine:
    return Engine.open(bundle, source=source)


def _checked_parent(bundle: Bundle, calibration: Calibration, held_out: Source, open_engine: OpenEngine) -> Outputs:
    """The float model's outputs on the gate's images, after it and the calibration images were found fit."""
    with open_engine(bundle, held_out) as engine:
        parent = model_outputs(engine, held_out)
        check_parent(parent)
        check_calibration(bundle, calibration, model_outputs(engine, calibration.source), held_out, parent)
    return parent


def _climb(job: _Job, methods: tuple[Method, ...]) -> list[_Attempt]:
    """One attempt after another, up to the first that passes. In a ladder, a method that cannot be had is noted."""
    attempts: list[_Attempt] = []
    for number, method in enumerate(methods, 1):
        start = perf_counter()
        try:
            with counted(f"method {number} of up to {len(methods)}: {method}"):
                attempts.append(_attempt(job, method, start))
        except XceptionError as error:
            if len(methods) == 1:
                raise
            attempts.append(_Attempt(_trial(method, start, error=str(error))))
        if attempts[-1].trial.passed:
            break
    return attempts


def _attempt(job: _Job, method: Method, start: float) -> _Attempt:
    graph = job.quantizer.graph(method)
    files = _files(graph, job.quantizer)
    with _opened(job, files) as engine:
        outputs, size_bytes = model_outputs(engine, job.held_out), engine.bundle.size_bytes
    verdict = judge(job.parent, outputs, job.tolerance, is_strict=job.tuning.is_strict)
    error = job.quantizer.range_error(method)
    return _Attempt(
        _trial(method, start, verdict=verdict, size_bytes=size_bytes, range_error=error), graph, files, outputs
    )


@contextmanager
def _opened(job: _Job, files: Mapping[str, bytes]) -> Iterator[Engine]:
    """The files of an int8 graph in their own runtime."""
    with tempfile.TemporaryDirectory() as folder:
        model = _in_form(job.bundle.model, job.quantizer.target)
        trial = write_bundle(Path(folder) / "trial", model, job.bundle.labels, files)
        with job.open_engine(trial, job.held_out) as engine:
            yield engine


def _speed(job: _Job, best: _Attempt) -> Int8Speed | None:
    if not job.tuning.with_speed or best.files is None:
        return None
    with job.open_engine(job.bundle, job.held_out) as parent, _opened(job, best.files) as int8:
        return int8_speed(parent, int8, job.held_out)


def _files(graph: Any, quantizer: Quantizer) -> dict[str, bytes]:
    """An int8 graph in QDQ form as the files of a form, valid by the rules of its format."""
    to = quantizer.target
    int8 = FORMS[to].int8
    if int8 is None:
        raise UnknownName("target", to, quantizable())
    if quantizer.is_signed and to == QUANTIZABLE_FROM:
        check_tensorrt(graph)
    write_files = FORMS[to].function(int8.writer)
    files: dict[str, bytes] = (
        write_files(graph, has_integer_ports=True) if quantizer.has_integer_ports else write_files(graph)
    )
    check_files(to, files)
    return files


def _in_form(model: Model, to: Form) -> Model:
    return msgspec.structs.replace(model, form=to, precision="int8", graph=graph_in_form(model, to))


def _trial(
    method: Method,
    start: float,
    *,
    verdict: Verdict | None = None,
    error: str | None = None,
    size_bytes: int | None = None,
    range_error: float | None = None,
) -> Trial:
    return Trial(
        method=method,
        verdict=verdict,
        error=error,
        seconds=round(perf_counter() - start, 3),
        size_bytes=size_bytes,
        range_error=range_error,
    )


def _result(job: _Job, attempts: list[_Attempt], best: _Attempt) -> Quantization:
    quantizer, method = job.quantizer, best.trial.method
    is_onnx = hasattr(best.graph, "graph")
    is_needed = any(METHODS[attempt.trial.method].float_layers for attempt in attempts if attempt.graph is not None)
    return Quantization(
        source=job.bundle.model.digest,
        target=quantizer.target,
        is_signed=quantizer.is_signed,
        weight_bits=quantizer.weight_bits,
        calibration=quantizer.calibration.provenance(),
        processor=processor(),
        trials=tuple(attempt.trial for attempt in attempts),
        chosen=method if best.trial.verdict else None,
        passed=best.trial.passed,
        layers=layer_errors(quantizer.reference(method), best.graph, quantizer.calibration) if is_onnx else (),
        sensitivity=quantizer.sensitivity if job.tuning.with_sensitivity or is_needed else (),
        scales=scales(best.graph) if is_onnx else (),
        flips=class_flips(job.parent, best.outputs) if best.outputs else (),
    )


def _write(job: _Job, best: _Attempt, result: Quantization, out: Path, *, overwrite: bool) -> Bundle:
    verdict = best.trial.verdict
    if verdict is None or best.files is None or best.outputs is None:
        raise CheckFailed(f"{result.sentence()}; there is no model to write")
    model = msgspec.structs.replace(
        _in_form(_child(job, best.trial.method, verdict, result.calibration), result.target),
        agreement=agreement_of(best.outputs.logits, job.parent.logits),
        passed_gate=verdict.passed,
        metrics={verdict.data: verdict.candidate},
    )
    files = {
        **with_identity(best.files, model, job.bundle.labels),
        RECORD: json_document(result),
        **carried(job.bundle),
    }
    images = images_of(job.bundle)
    return write_with_goldens(out, model, job.bundle.labels, files, images=images, overwrite=overwrite)


def _child(job: _Job, method: Method, verdict: Verdict, calibration: Provenance) -> Model:
    """The document with this step in its history; `RECORD` has the rest."""
    packages = {"onnxruntime", BACKENDS[default_backend(job.quantizer.target)].package}
    packages |= {"nncf"} if METHODS[method].correction else set()
    test = verdict.non_inferiority
    return child(
        job.bundle,
        "quantize",
        {package: version(package) for package in sorted(packages)},
        method=method,
        to=job.quantizer.target,
        is_signed=job.quantizer.is_signed,
        has_integer_ports=job.quantizer.has_integer_ports,
        weight_bits=job.quantizer.weight_bits,
        calibration_data=calibration.data,
        calibration_images=calibration.images,
        calibration_classes=calibration.classes,
        calibration_digest=calibration.digest,
        tolerance=verdict.tolerance,
        top1_difference=verdict.difference.value if verdict.difference else None,
        top1_agreement=verdict.top1_agreement,
        non_inferiority=test.verdict if test else None,
        images_needed=test.images_needed if test else None,
    )
