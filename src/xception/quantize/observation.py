"""Calibration: the float graph runs over images with every activation in view."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xception.extras import require
from xception.quantize.body import activations
from xception.quantize.ranges import RANGES, Histogram, Range, RangeMethod, squared_error, symmetric


@dataclass(frozen=True)
class Observation:
    """Statistics of activations: by tensor a histogram, and the largest magnitude in each channel."""

    histograms: dict[str, Histogram] = field(default_factory=lambda: defaultdict(Histogram))
    peaks: dict[str, NDArray[np.float32]] = field(default_factory=dict)

    def add(self, name: str, values: NDArray[np.float32]) -> None:
        """Count a tensor of any number of axes from two up, the second of which is its channels."""
        self.histograms[name].add(values)
        peaks = np.abs(values).max(axis=(0, *range(2, values.ndim)))
        self.peaks[name] = np.maximum(self.peaks[name], peaks) if name in self.peaks else peaks

    def ranges(self, method: RangeMethod, *, is_signed: bool = False) -> dict[str, Range]:
        """The range of every tensor."""
        chosen = {name: RANGES[method](histogram) for name, histogram in self.histograms.items()}
        return {name: symmetric(bounds) for name, bounds in chosen.items()} if is_signed else chosen

    def error(self, ranges: dict[str, Range]) -> float:
        """Rounding error of eight bits over these ranges: mean squared error over mean square, tensors averaged."""
        shares = [_share(self.histograms[name], bounds) for name, bounds in ranges.items()]
        return float(np.mean(shares))


def observe(model: Any, images: Iterable[NDArray[Any]]) -> Observation:
    """Run an ONNX model over batches of its input, and count the values of what is quantized.

    Raises:
        CheckFailed: an activation is not a finite number.
    """
    observation, source = Observation(), model.graph.input[0].name
    names = activations(model)
    computed = [name for name in names if name != source]
    session = exposed_session(model, computed)
    for batch in images:
        values = dict(zip(computed, session.run(computed, {source: batch}), strict=True))
        for name in names:
            observation.add(name, batch if name == source else values[name])
    return observation


def exposed_session(model: Any, names: Iterable[str], *, is_optimized: bool = True) -> Any:
    """An ONNX Runtime session that also gives out the named tensors inside the graph."""
    onnxruntime, onnx = require("onnxruntime", "quantize"), require("onnx", "quantize")
    exposed = onnx.ModelProto()
    exposed.CopyFrom(model)
    known = {output.name for output in exposed.graph.output}
    exposed.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in known)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    if not is_optimized:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(
        exposed.SerializeToString(), options, providers=["CPUExecutionProvider"], enable_fallback=0
    )


def _share(histogram: Histogram, bounds: Range) -> float:
    power = float((histogram.counts * histogram.centres**2).sum() / max(1, histogram.counts.sum()))
    return squared_error(histogram, bounds) / power if power else 0.0
