"""The record of a quantization: every method that was tried, the gate's verdict on it, and the outcome."""

from typing import Literal

import msgspec

from xception.charts import Chart
from xception.errors import CheckFailed, UsageError
from xception.forms import Form
from xception.quantize.calibration import Provenance
from xception.quantize.charts import layer_error_chart, method_differences
from xception.quantize.gate import Verdict
from xception.quantize.ladder import Method
from xception.quantize.layers import LayerError
from xception.quantize.processor import Processor, WeightBits
from xception.quantize.qdq import TensorScale
from xception.quantize.speed import Int8Speed
from xception.tables import ResultTable, TableResult
from xception.tasks.compare import Flip

RECORD = "quantization.json"
"""File in an int8 bundle that holds its `Quantization`."""


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """One method: the gate's verdict, or the reason why there was nothing to judge."""

    method: Method
    verdict: Verdict | None
    error: str | None
    seconds: float
    """Time for making and judging it; work that methods share counts for the first that needs it."""
    size_bytes: int | None
    range_error: float | None
    """Mean squared rounding and clipping error of the activations over their mean square; None if NNCF chose."""

    @property
    def passed(self) -> bool:
        return self.verdict is not None and self.verdict.passed


class Quantization(TableResult, msgspec.Struct, frozen=True, kw_only=True):
    """Report of a quantization: every method that was tried, in order, and the chosen one."""

    source: str
    """The float bundle's digest."""
    target: Form
    is_signed: bool
    weight_bits: WeightBits
    calibration: Provenance
    processor: Processor
    trials: tuple[Trial, ...]
    chosen: Method | None
    """The first method that passed, else the one that came closest; None if nothing could be judged."""
    passed: bool
    layers: tuple[LayerError, ...]
    """Errors within the chosen graph, in graph order; empty for OpenVINO's own graphs."""
    sensitivity: tuple[LayerError, ...]
    """Error of the logits if only this layer is in int8, worst first; empty unless it was measured."""
    scales: tuple[TensorScale, ...]
    """Quantization scales of the chosen graph; empty for OpenVINO's own graphs."""
    flips: tuple[Flip, ...]
    """Images to which the chosen graph gives another class than its parent does, the largest changes first."""
    speed: Int8Speed | None = None
    """Speed on the machine that quantized; None if it was not measured."""
    bundle: str | None = None
    """The int8 bundle's folder, if one was written."""

    @property
    def verdict(self) -> Verdict | None:
        """The chosen method's verdict."""
        return next((trial.verdict for trial in self.trials if trial.method == self.chosen), None)

    def sentence(self) -> str:
        """The outcome in words."""
        if self.verdict is None:
            return "; ".join(f"int8 by {trial.method}: {trial.error}" for trial in self.trials)
        return f"int8 by {self.chosen}: {self.verdict.sentence()}"

    def displayed(self) -> ResultTable:
        """The methods that were tried, with the gate's verdict on each."""
        rows = [(trial.method, "passed" if trial.passed else "failed", _word(trial)) for trial in self.trials]
        return ResultTable(("method", "gate", "why"), rows, f"int8 for {self.target}", self.sentence())

    def records(self) -> ResultTable:
        """A row for each method: fractions, seconds, and the size in bytes."""
        columns = ("method", "passed", "top1", "difference", "top1_agreement", "logit_error", "seconds", "size_bytes")
        return ResultTable(columns, list(map(_trial_row, self.trials)))

    def plot(self, of: Literal["methods", "layers"] = "methods") -> Chart:
        """A chart of what int8 changes.

        Args:
            of: `methods`, the change of accuracy by each method that was tried, against the gate; or `layers`, the
                error of each layer of the chosen graph.

        Raises:
            UsageError: the quantization has no such figures: no labels, or a graph whose layers are not known.
        """
        verdicts: dict[str, Verdict] = {trial.method: trial.verdict for trial in self.trials if trial.verdict}
        changes = {method: verdict.difference for method, verdict in verdicts.items() if verdict.difference}
        if of == "methods" and changes:
            return method_differences(changes, next(iter(verdicts.values())).tolerance)
        if of == "layers" and self.layers:
            return self.layer_chart()
        raise UsageError(f"this quantization has no figures for a chart of {of!r}; see `displayed()` for those it has")

    def layer_chart(self) -> Chart:
        """The error of each layer, and that of the logits with only that layer in int8 where it was measured."""
        layers, single = ({row.name: row.error for row in rows} for rows in (self.layers, self.sensitivity))
        return layer_error_chart(layers, single)


def _word(trial: Trial) -> str:
    return trial.verdict.sentence() if trial.verdict else trial.error or ""


def _trial_row(trial: Trial) -> tuple[str | int | float | bool | None, ...]:
    verdict = trial.verdict
    top1 = verdict.candidate.top1.value if verdict and verdict.candidate.top1 else None
    difference = verdict.difference.value if verdict and verdict.difference else None
    likeness = (verdict.top1_agreement, verdict.logit_error) if verdict else (None, None)
    return trial.method, trial.passed, top1, difference, *likeness, trial.seconds, trial.size_bytes


class GateFailed(CheckFailed):
    """No method kept the accuracy; `quantization` says what was tried."""

    def __init__(self, message: str, quantization: Quantization) -> None:
        super().__init__(message)
        self.quantization = quantization
