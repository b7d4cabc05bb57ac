"""int8 through NNCF, which also corrects biases for what rounding shifts, and smooths activations into weights."""

import io
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from logging import ERROR
from typing import Any, Literal

from numpy.typing import NDArray

from xception.errors import InputError
from xception.extras import require
from xception.quantize.calibration import Calibration

Correction = Literal["fast", "full", "smooth"]
"""Bias correction from one pass, or layer by layer; or SmoothQuant, with the fast correction after it."""

SMOOTHING = 0.5
"""SmoothQuant's alpha: the burden shared evenly between activations and weights (Xiao et al. 2023)."""


def quantize_by_nncf(
    model: Any, calibration: Calibration, correction: Correction, *, weight_bits: int, exclude: Sequence[str] = ()
) -> Any:
    """The int8 form of a model, of the kind that was given.

    Args:
        model: an `onnx.ModelProto` or an `openvino.Model`, in float.
        calibration: images in the model's own preprocessing.
        correction: work in addition to choosing ranges.
        weight_bits: 7 or 8, see `Scheme`.
        exclude: names of nodes to leave in float.

    Raises:
        MissingExtra: nncf is not installed.
        InputError: nncf cannot quantize this model.
    """
    input_name = model.inputs[0].get_any_name() if hasattr(model, "inputs") else model.graph.input[0].name

    def feed(batch: NDArray[Any]) -> dict[str, NDArray[Any]]:
        return {input_name: batch}

    with _quiet():
        nncf = require("nncf", "quantize")
        nncf.set_log_level(ERROR)
        try:
            return nncf.quantize(
                model,
                nncf.Dataset(calibration, feed),
                subset_size=len(calibration),
                fast_bias_correction=correction != "full",
                ignored_scope=nncf.IgnoredScope(names=list(exclude), validate=False) if exclude else None,
                model_type=nncf.ModelType.TRANSFORMER if correction == "smooth" else None,
                advanced_parameters=_parameters(correction, weight_bits),
            )
        # NNCF raises whatever the library beneath it does, KeyError among others.
        except Exception as error:
            raise InputError(f"nncf cannot quantize this model: {error!r}; choose another method") from error


def _parameters(correction: Correction, weight_bits: int) -> Any:
    advanced = require("nncf.quantization.advanced_parameters", "quantize")
    smooth = SMOOTHING if correction == "smooth" else -1
    return advanced.AdvancedQuantizationParameters(
        overflow_fix=advanced.OverflowFix.ENABLE if weight_bits == 7 else advanced.OverflowFix.DISABLE,
        # NNCF would give a depthwise convolution's input a grid for each channel, which ONNX Runtime cannot run.
        activations_quantization_params=advanced.QuantizationParameters(per_channel=False),
        smooth_quant_alphas=advanced.AdvancedSmoothQuantParameters(convolution=smooth, matmul=smooth),
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Nothing on stdout, which is for data, and nothing to NNCF's own telemetry server.

    NNCF decides on telemetry when it is imported, and this variable is its only switch.
    """
    before = os.environ.get("NNCF_CI")
    os.environ["NNCF_CI"] = "1"
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        if before is None:
            del os.environ["NNCF_CI"]
        else:
            os.environ["NNCF_CI"] = before
