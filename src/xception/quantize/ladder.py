"""The methods, from the cheapest to the strongest, and the int8 graph that each of them makes."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import msgspec

from xception.arch.graph import INPUT
from xception.backends.openvino_core import openvino_core
from xception.errors import UsageError
from xception.extras import require
from xception.forms import FORMS, Form
from xception.quantize.body import DENSE_TYPES, body, result_layer
from xception.quantize.calibration import Calibration
from xception.quantize.equalize import equalized
from xception.quantize.layers import LayerError, sensitivity
from xception.quantize.nncf import Correction, quantize_by_nncf
from xception.quantize.observation import Observation, observe
from xception.quantize.processor import WeightBits
from xception.quantize.qdq import Scheme, float_island, quantize_graph
from xception.quantize.ranges import Range, RangeMethod, symmetric
from xception.quantize.trained import TrainedRanges

Method = Literal[
    "trained",
    "per-tensor",
    "max",
    "equalized",
    "percentile-99.999",
    "percentile-99.99",
    "percentile-99.9",
    "mse",
    "entropy",
    "nncf",
    "nncf-full",
    "nncf-smooth",
    "fallback-2",
    "fallback-6",
]


class Rung(msgspec.Struct, frozen=True, kw_only=True):
    """The steps of a method."""

    ranges: RangeMethod = "max"
    per_channel: bool = True
    is_equalized: bool = False
    correction: Correction | None = None
    """Bias correction by NNCF, which then chooses ranges itself."""
    is_trained: bool = False
    """Ranges and grids that the weights were trained for."""
    float_layers: int = 0
    """Number of layers, those that hurt most, that stay in float, see `float_island`."""


METHODS: Mapping[Method, Rung] = {
    "trained": Rung(is_trained=True),
    "per-tensor": Rung(per_channel=False),
    "max": Rung(),
    "equalized": Rung(is_equalized=True),
    "percentile-99.999": Rung(ranges="percentile-99.999"),
    "percentile-99.99": Rung(ranges="percentile-99.99"),
    "percentile-99.9": Rung(ranges="percentile-99.9"),
    "mse": Rung(ranges="mse"),
    "entropy": Rung(ranges="entropy"),
    "nncf": Rung(correction="fast"),
    "nncf-full": Rung(correction="full"),
    "nncf-smooth": Rung(correction="smooth"),
    "fallback-2": Rung(is_equalized=True, float_layers=2),
    "fallback-6": Rung(is_equalized=True, float_layers=6),
}

NOT_CLIMBED = frozenset({"trained", "per-tensor"})
"""Methods outside of the ladder: trained ranges, which are tried before it, and one scale for a whole kernel, which is
less accurate and exists for compilers that know no other."""

LADDER: tuple[Method, ...] = tuple(method for method in METHODS if method not in NOT_CLIMBED)
"""The methods that `auto` tries in order."""


@dataclass(frozen=True)
class Quantizer:
    """One float graph and its calibration images; what several methods need is computed once."""

    model: Any
    """An `onnx.ModelProto`."""
    calibration: Calibration
    is_signed: bool = False
    weight_bits: WeightBits = 7
    target: Form = "onnx"
    has_integer_ports: bool = False
    trained: TrainedRanges | None = None
    """The ranges that the weights were trained for, if they were."""

    @property
    def ladder(self) -> tuple[Method, ...]:
        """The methods that `auto` tries in order."""
        return ("trained", *LADDER) if self.trained else LADDER

    def graph(self, method: Method) -> Any:
        """The int8 graph in QDQ form; NNCF's for OpenVINO is an `openvino.Model`.

        Raises:
            MissingExtra: the method's library is not installed.
            InputError: the method's library refuses the model.
        """
        rung = METHODS[method]
        if rung.correction:
            model = self._model_for_nncf(rung.correction)
            inside = {*body(self.model, with_logits=True)}
            exclude = [node.name for node in self.model.graph.node if node.name not in inside]
            return quantize_by_nncf(
                model, self.calibration, rung.correction, weight_bits=self.weight_bits, exclude=exclude
            )
        ranges, model = self._ranges(method), self.reference(method)
        worst = self.sensitivity[: rung.float_layers] if rung.float_layers else ()
        exclude = [name for layer in worst for name in float_island(model, layer.name)]
        return quantize_graph(model, ranges, self._scheme(per_channel=self._is_per_channel(rung)), exclude=exclude)

    def reference(self, method: Method) -> Any:
        """The float graph that the method starts from: the same function, channels equalised or not."""
        return self._equalized if METHODS[method].is_equalized else self.model

    def observation(self, method: Method) -> Observation:
        """Statistics of that graph's activations on the calibration images."""
        return self._observation_equalized if METHODS[method].is_equalized else self._observation

    def range_error(self, method: Method) -> float | None:
        """Rounding error of the activations over the method's ranges, see `Observation.error`."""
        return None if METHODS[method].correction else self.observation(method).error(self._ranges(method))

    @cached_property
    def sensitivity(self) -> tuple[LayerError, ...]:
        """The logits' error when only one layer of the equalised graph is quantized, worst first."""
        return sensitivity(self._equalized, self._ranges("equalized"), self._scheme(), self.calibration)

    @cached_property
    def _observation(self) -> Observation:
        return observe(self.model, self.calibration)

    @cached_property
    def _equalized(self) -> Any:
        return equalized(self.model, self._observation)

    @cached_property
    def _observation_equalized(self) -> Observation:
        return observe(self._equalized, self.calibration)

    def _scheme(self, *, per_channel: bool = True) -> Scheme:
        int8 = FORMS[self.target].int8
        return Scheme(
            per_channel=per_channel,
            is_signed=self.is_signed,
            weight_bits=self.weight_bits,
            rounds_logits=int8 is not None and int8.rounds_logits,
            has_integer_output=self.has_integer_ports,
        )

    def _is_per_channel(self, rung: Rung) -> bool:
        return self.trained.per_channel if rung.is_trained and self.trained else rung.per_channel

    def _trained(self) -> dict[str, Range]:
        """The ranges that the weights were trained for, by the names in this graph.

        Raises:
            UsageError: they were trained for none, or for another grid.
        """
        trained, given = self.trained, Scheme(is_signed=self.is_signed, weight_bits=self.weight_bits)
        if trained is None:
            raise UsageError(
                "the weights were not trained for int8; train them on with the recipe qat, or take another method"
            )
        if (trained.is_signed, trained.weight_bits) != (given.is_signed, given.weight_bits):
            raise UsageError(
                f"the weights were trained for {'signed' if trained.is_signed else 'unsigned'} activations and kernels "
                f"of {trained.weight_bits} bits; quantize them so, or train them on for this grid"
            )
        source = self.model.graph.input[0].name
        names = {} if INPUT in self._observation.histograms else {INPUT: source}
        return {names.get(name, name): bounds for name, bounds in trained.ranges.items()}

    def _ranges(self, method: Method) -> dict[str, Range]:
        """Ranges of activations; that of the logits is never narrowed, since clipping makes the best classes equal."""
        observation = self.observation(method)
        full = observation.ranges("max", is_signed=self.is_signed)
        chosen = observation.ranges(METHODS[method].ranges, is_signed=self.is_signed)
        if METHODS[method].is_trained:
            trained = {name: bounds for name, bounds in self._trained().items() if name in full}
            chosen |= {name: symmetric(bounds) for name, bounds in trained.items()} if self.is_signed else trained
        last = result_layer(self.model)
        return chosen | {name: full[name] for name in last.output if last.op_type in DENSE_TYPES}

    def _model_for_nncf(self, correction: Correction) -> Any:
        """A model of the target's own kind, which NNCF may change.

        NNCF corrects no biases in OpenVINO's graphs of these networks, so the full correction takes the ONNX graph.
        """
        if self.target == "openvino" and correction != "full":
            return openvino_core().read_model(self.model.SerializeToString())
        copied = require("onnx", "quantize").ModelProto()
        copied.CopyFrom(self.model)
        return copied
