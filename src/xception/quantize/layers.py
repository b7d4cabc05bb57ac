"""Errors of single layers: within an int8 graph, and of the logits when only one layer is quantized."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from xception.quantize.body import LAYER_TYPES, logits_name
from xception.quantize.observation import exposed_session
from xception.quantize.qdq import Scheme, layers, quantize_graph, with_activation
from xception.quantize.ranges import Range
from xception.waits import each

ERROR_IMAGES = 16
"""Images on which errors are measured; errors are averages over all positions, so few images suffice."""


class LayerError(msgspec.Struct, frozen=True, kw_only=True):
    """Root mean square of a difference over that of the float values, by a layer's name."""

    name: str
    error: float


def sensitivity(
    model: Any, ranges: Mapping[str, Range], scheme: Scheme, images: Iterable[NDArray[Any]]
) -> tuple[LayerError, ...]:
    """The error of the logits when only one layer is quantized, for each layer, worst first."""
    batches, output = list(islice(images, ERROR_IMAGES)), logits_name(model)
    (reference,) = _values(model, [output], batches)
    rows = []
    names = layers(model)
    for name in each(names, "measuring each layer", len(names)):
        (logits,) = _values(quantize_graph(model, ranges, scheme, only=with_activation(model, name)), [output], batches)
        rows.append(LayerError(name=name, error=_relative(logits, reference)))
    return tuple(sorted(rows, key=lambda row: -row.error))


def layer_errors(reference: Any, quantized: Any, images: Iterable[NDArray[Any]]) -> tuple[LayerError, ...]:
    """Errors of each layer's output in an int8 graph, all errors before it included; in graph order.

    Args:
        reference: the float graph that the int8 graph was made of.
        quantized: the int8 graph, in QDQ form.
        images: batches of the graphs' input.
    """
    batches = list(islice(images, ERROR_IMAGES))
    known = {output: node.op_type for node in reference.graph.node for output in node.output}
    made = {node.name: node.output[0] for node in quantized.graph.node if node.op_type in LAYER_TYPES}
    names = {layer: tensor for layer, tensor in made.items() if tensor in known}
    ours, theirs = (_values(model, list(names.values()), batches) for model in (quantized, reference))
    # A layer that has taken over a ReLU leaves the clipping to the grid behind it, which starts at zero.
    clipped = [
        np.maximum(value, 0) if known[name] == "Relu" else value
        for name, value in zip(names.values(), ours, strict=True)
    ]
    return tuple(
        LayerError(name=layer, error=_relative(value, float_value))
        for layer, value, float_value in zip(names, clipped, theirs, strict=True)
    )


def _values(model: Any, names: list[str], batches: Sequence[NDArray[Any]]) -> list[NDArray[np.float32]]:
    # Unoptimised, since fusing would remove the tensors that are asked for.
    session, source = exposed_session(model, names, is_optimized=False), model.graph.input[0].name
    rows = [session.run(names, {source: batch}) for batch in batches]
    return [np.concatenate(values) for values in zip(*rows, strict=True)]


def _relative(values: NDArray[np.float32], reference: NDArray[np.float32]) -> float:
    power = float((reference.astype(np.float64) ** 2).mean())
    return float(np.sqrt(((values.astype(np.float64) - reference) ** 2).mean() / max(power, np.finfo(np.float32).tiny)))
