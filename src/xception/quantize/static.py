"""Static int8 in ONNX's QDQ form: per-channel weights, activations calibrated on images, behind the gate."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import msgspec

from xception.backends.base import Pixels, Session, open_session
from xception.bundle import Agreement, Bundle, Model, child, ensure_free, write_bundle
from xception.data.source import Items, Source
from xception.data.subset import balanced, check_disjoint
from xception.errors import CheckFailed, InputError, UsageError
from xception.extras import require
from xception.pipeline.stream import Failure, prepared
from xception.quantize.gate import TOLERANCE, Method, Verdict, judge
from xception.tasks.agreement import agreement, data_pixels
from xception.tasks.evaluate import evaluate

LADDER: tuple[Method, ...] = ("max", "percentile", "entropy")
"""From the cheapest to the dearest calibration; `auto` takes the first that passes."""

CALIBRATION_IMAGES = 200


class Quantization(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it: every method tried, in order; the last one is the bundle's, if any was written."""

    verdicts: tuple[Verdict, ...]
    bundle: str | None


def quantize_bundle(
    bundle: Bundle,
    calibration: Source,
    out: Path,
    *,
    validation: Source | None = None,
    method: Method | Literal["auto"] = "auto",
    images: int = CALIBRATION_IMAGES,
    tolerance: float = TOLERANCE,
    keep_failed: bool = False,
    overwrite: bool = False,
) -> tuple[Bundle, Quantization]:
    """Quantize a bundle with an ONNX graph, and write it only if it keeps its parent's accuracy.

    Args:
        bundle: one in the form onnx, in float32.
        calibration: images to find the ranges of activations on; `images` of them, balanced over the classes.
        out: where the int8 bundle is to lie.
        validation: labelled images for the gate; by default what calibration leaves of its own source.
        method: how ranges are chosen, or `auto` for the first of `LADDER` that passes.
        images: how many images to calibrate on.
        tolerance: largest loss of top-1 accuracy, as a fraction.
        keep_failed: write a model that failed all the same, marked as failed, before reporting.
        overwrite: replace a bundle that lies at `out`.

    Raises:
        UsageError: a bundle of another form or precision.
        InputError: data that overlap, are too few or cannot be read.
        CheckFailed: no method keeps the accuracy; nothing is written unless `keep_failed`.
    """
    if bundle.model.form != "onnx" or bundle.model.precision != "float32":
        raise UsageError(
            f"{bundle.path} is {bundle.model.precision} in the form {bundle.model.form!r}; "
            "quantization starts from a float32 ONNX bundle: run xception export --to onnx first"
        )
    ensure_free(out, overwrite=overwrite)
    chosen, held_out = _split(calibration, validation, images)
    parent_session = open_session(bundle)
    parent = evaluate(bundle, parent_session, held_out)
    verdicts: list[Verdict] = []
    for rung in LADDER if method == "auto" else (method,):
        graph = _quantized(bundle, chosen, rung)
        with _trial(bundle, graph, rung, len(chosen)) as (trial, session):
            verdicts.append(judge(rung, parent, evaluate(trial, session, held_out), tolerance))
            measured = agreement(session, parent_session, data_pixels(held_out, bundle.model.preprocess))
        if verdicts[-1].passed:
            break
    verdict = verdicts[-1]
    if not verdict.passed and not keep_failed:
        raise CheckFailed(f"{verdict.sentence()}; no bundle was written; calibrate on other or more images")
    written = _write(bundle, out, graph, verdict, measured, len(chosen), overwrite=overwrite)
    if not verdict.passed:
        raise CheckFailed(f"{verdict.sentence()}; the bundle {out} is marked as failed")
    return written, Quantization(verdicts=tuple(verdicts), bundle=str(out))


class CalibrationReader:
    """The calibration images as ONNX Runtime's quantizer asks for them: one batch a call, None at the end."""

    def __init__(self, bundle: Bundle, images: Items) -> None:
        if bundle.model.graph is None:
            raise InputError(f"{bundle.path} describes no graph for its ONNX file; export it again")
        self._input_name = bundle.model.graph.input_name
        self._entries = prepared(images, bundle.model.preprocess)

    def get_next(self) -> dict[str, Pixels] | None:
        """A batch of one image.

        Raises:
            InputError: a calibration image cannot be read.
        """
        entry = next(self._entries, None)
        if isinstance(entry, Failure):
            raise InputError(f"calibration image {entry.key} cannot be used: {entry.reason}; mend or remove it")
        return None if entry is None else {self._input_name: entry.pixels[None]}


def _split(calibration: Source, validation: Source | None, images: int) -> tuple[Items, Source]:
    """Calibration images and, sharing none with them, the images of the gate."""
    chosen, rest = balanced(calibration, images)
    if validation is not None:
        check_disjoint(chosen, validation)
        return chosen, validation
    if not len(chosen) or not len(rest):
        raise InputError(
            f"{calibration.name} has {len(calibration)} images, which leaves none to judge the result on after "
            f"{images} for calibration; pass --validation DATA or fewer --images"
        )
    return chosen, rest


@contextmanager
def _trial(bundle: Bundle, graph: bytes, method: Method, images: int) -> Iterator[tuple[Bundle, Session]]:
    """The candidate as a bundle in a temporary place, and a session of it."""
    with tempfile.TemporaryDirectory() as folder:
        model = msgspec.structs.replace(_child(bundle, method, images), precision="int8")
        trial = write_bundle(Path(folder) / "trial", model, bundle.labels, {"model.onnx": graph})
        session = open_session(trial)
        try:
            yield trial, session
        finally:
            session.close()


def _child(bundle: Bundle, method: Method, images: int) -> Model:
    tools = {"onnxruntime": version("onnxruntime")}
    return child(bundle, "quantize", tools, method=method, calibration_images=images, per_channel=True)


def _write(
    bundle: Bundle, out: Path, graph: bytes, verdict: Verdict, measured: Agreement, images: int, *, overwrite: bool
) -> Bundle:
    model = msgspec.structs.replace(
        _child(bundle, verdict.method, images),
        precision="int8",
        agreement=measured,
        passed_gate=verdict.passed,
        metrics={verdict.candidate.data: verdict.candidate.score()},
    )
    return write_bundle(out, model, bundle.labels, {"model.onnx": graph}, overwrite=overwrite)


def _quantized(bundle: Bundle, calibration: Items, method: Method) -> bytes:
    """The int8 graph: unsigned asymmetric activations, signed symmetric weights a channel."""
    quantization = require("onnxruntime.quantization", "quantize")
    methods = quantization.CalibrationMethod
    calibrators = {"max": methods.MinMax, "percentile": methods.Percentile, "entropy": methods.Entropy}
    with tempfile.TemporaryDirectory() as folder:
        prepared_path, out = Path(folder) / "prepared.onnx", Path(folder) / "int8.onnx"
        quantization.quant_pre_process(
            bundle.main_file, prepared_path, skip_optimization=True, skip_symbolic_shape=True
        )
        quantization.quantize_static(
            prepared_path,
            out,
            CalibrationReader(bundle, calibration),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            calibrate_method=calibrators[method],
        )
        return out.read_bytes()
