"""Quantization-aware training: the tensors that it rounds, and the ranges that it passes on."""

from collections.abc import Mapping
from typing import NamedTuple

import msgspec
import numpy as np

from xception import inputs
from xception.arch.compute import tensors
from xception.arch.graph import INPUT
from xception.arch.spec import Architecture
from xception.bundle import INT8_RANGES, Bundle
from xception.errors import InputError
from xception.export.onnx import onnx_files
from xception.export.program import GraphOptions, program
from xception.extras import require
from xception.preprocess import Preprocess
from xception.quantize.body import activations
from xception.quantize.processor import WeightBits
from xception.quantize.qdq import Scheme, quantize_graph, scales
from xception.quantize.ranges import Range

MAP_SUFFIX = ".map"
"""End of the name of a mean over positions before its axes are dropped."""


class TrainedRanges(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Ranges of activations that weights were trained for, with the grids that they belong to."""

    per_channel: bool
    is_signed: bool
    weight_bits: WeightBits
    ranges: Mapping[str, Range]
    """(low, high) of each value, by its name in the graph."""

    @property
    def scheme(self) -> Scheme:
        return Scheme(per_channel=self.per_channel, is_signed=self.is_signed, weight_bits=self.weight_bits)


def trained_ranges(bundle: Bundle) -> TrainedRanges | None:
    """The ranges that a bundle's weights were trained for; None where they were trained without any.

    Raises:
        InputError: the file is not what training writes.
    """
    if INT8_RANGES not in bundle.model.files:
        return None
    try:
        return inputs.parse_json(bundle.content(INT8_RANGES), TrainedRanges)
    except msgspec.DecodeError as error:
        raise InputError(f"{bundle.path / INT8_RANGES} holds no ranges: {error}; train the bundle again") from error


class Rounded(NamedTuple):
    """Names of what is rounded to a grid in an int8 graph."""

    activations: Mapping[str, str]
    """The operations that make them, by the values' names in the graph."""
    kernels: frozenset[str]


def rounded(architecture: Architecture, preprocess: Preprocess, scheme: Scheme) -> Rounded:
    """Everything that has a grid of its own in the int8 graph of a network, asked of such a graph.

    Values that have the grid of another one, such as a maximum of integers or what a ReLU reads, are not in it: rounded
    or not, what follows from them is the same.

    Raises:
        MissingExtra: onnx or onnxruntime is not installed.
    """
    empty = {name: np.zeros(shape, np.float32) for name, shape in tensors(architecture).items()}
    # With every size free, a preprocessing of any kind will do; sizes decide no grid.
    made = program(architecture, empty, preprocess, GraphOptions(free_size=True))
    model = require("onnx", "quantize").load_from_string(onnx_files(made)["model.onnx"])
    # Ranges that no two values have in common, so that a grid tells whose range it has.
    ranges = {name: (-1.0, 1.0 + place) for place, name in enumerate(activations(model))}
    rows = scales(quantize_graph(model, ranges, scheme))
    names = {INPUT, *(node.name for node in made.nodes)}
    own = [
        row.tensor for row in rows if row.kind == "activation" and row.scales[0] == _scale(ranges, row.tensor, scheme)
    ]
    return Rounded(
        activations={name: node for name in own if (node := name.removesuffix(MAP_SUFFIX)) in names},
        kernels=frozenset(row.tensor for row in rows if row.kind == "weight" and row.tensor in empty),
    )


def _scale(ranges: Mapping[str, Range], name: str, scheme: Scheme) -> float:
    low, high = ranges[name]
    return float(np.float32(high / 127 if scheme.is_signed else (high - low) / 255))
