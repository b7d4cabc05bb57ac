"""Weights taken out of a graph that is one of the variants, whether norms are folded into its layers or not.

Names say nothing here, since most exporters make them up: a layer is known by its place, see `flow`. What was taken
computes the same as the graph on test images, or is refused.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from xception.adoption.adopt import Adoption
from xception.adoption.arithmetic import ARITHMETIC, UNCHANGING, arithmetic_inside, constant
from xception.adoption.flow import PlaceOfLayer, graph_layers, variant_layers
from xception.adoption.outline import GraphOperation, GraphOutline, refuse
from xception.adoption.tryout import answers_of, raw, trial_pixels, try_out
from xception.arch.graph import BatchNorm, Conv, Dense, unfold
from xception.arch.spec import Architecture
from xception.backends.base import Logits
from xception.bundle import Model
from xception.convert.stated import Normalization
from xception.errors import InputError, UsageError
from xception.metrics import probabilities
from xception.preprocess import Preprocess
from xception.weights import weights_bytes

TakenTensors = dict[str, NDArray[np.float32]]
Float64Array = NDArray[np.float64]

MAX_RELATIVE_DIFFERENCE = 1e-4
"""Rounding of folded norms stays below; the least that one variant taken for another makes is 5e-3."""

CONVERT = "convert the checkpoint that it was made of"


class _Trial(NamedTuple):
    """A variant with the weights of a graph."""

    variant: str
    difference: float
    """Largest difference of its answers to test images, over the largest answer."""
    model: Model
    tensors: TakenTensors


def with_weights(adoption: Adoption, variant: str | None = None) -> Adoption:
    """The same network as a bundle of weights, which is trained and exported, too.

    Args:
        adoption: the graph.
        variant: the network, where several give the graph's answers at its size.

    Raises:
        InputError: the graph is none of the variants, its weights were rounded, or what was taken computes something
            else; the sentence says which.
        UsageError: several variants give the same answers.
        MissingExtra: torch is not installed.
    """
    outline, model = adoption.outline, adoption.model
    if outline.precision != "float32":
        raise refuse(outline.path, f"its weights were rounded to {outline.precision}", CONVERT)
    if adoption.answers is None:
        adoption = replace(adoption, answers=try_out(outline.path, raw(model), outline.files).answers)
    found = _best(adoption, variant)
    step = model.lineage[-1]
    settings = {**step.settings, "weights_in": found.variant, "difference": found.difference}
    step = msgspec.structs.replace(step, settings=settings)
    note = (
        f"{found.variant}, whose answers with the weights of the graph differ by {found.difference:.1e} of the largest"
    )
    return replace(
        adoption,
        model=msgspec.structs.replace(found.model, lineage=(*model.lineage[:-1], step)),
        files={"weights.safetensors": weights_bytes(found.tensors)},
        notes={**adoption.notes, "variant": note},
    )


def _best(adoption: Adoption, variant: str | None) -> _Trial:
    """The one variant that gives the graph's answers."""
    path, candidates = adoption.outline.path, [name for name in adoption.variants if variant in (None, name)]
    if not candidates:
        like = " or ".join(adoption.variants) or "no variant"
        raise refuse(path, f"its layers are those of {like}, so its weights fit no such network", CONVERT)
    tried, refusals = [], []
    for name in candidates:
        try:
            tried.append(_trial(adoption, name))
        except InputError as error:
            refusals.append(error)
    if not tried:
        raise refusals[0]
    fitting = [trial for trial in tried if trial.difference <= MAX_RELATIVE_DIFFERENCE]
    if len(fitting) > 1:
        names = " and ".join(trial.variant for trial in fitting)
        raise UsageError(
            f"{names} all give the answers of {path} at its size, and others at other sizes; choose one with --variant"
        )
    if not fitting:
        nearest = min(tried, key=lambda trial: trial.difference)
        words = f"its weights in {nearest.variant} give answers that differ by {nearest.difference:.1e}"
        raise refuse(path, f"{words}, so it departs from the variant", CONVERT)
    return fitting[0]


def _trial(adoption: Adoption, variant: str) -> _Trial:
    outline, model = adoption.outline, adoption.model
    network = msgspec.structs.replace(model.network, variant=variant)
    tensors = taken(outline, network.architecture())
    inside = None if model.graph is None else arithmetic_inside(outline, outline.inputs[0].value)
    preprocess = composed(inside, model.preprocess) if inside else model.preprocess
    made = msgspec.structs.replace(model, network=network, form="weights", graph=None, preprocess=preprocess)
    pixels = trial_pixels(preprocess, _size_px(model))
    logits = answers_of(outline.path, made, {"weights.safetensors": weights_bytes(tensors)}, pixels)
    ours, theirs = _as_given(logits, model), np.asarray(adoption.answers, np.float64)
    difference = float(np.abs(ours - theirs).max() / max(np.abs(theirs).max(), 1e-30))
    return _Trial(variant, difference, made, tensors)


def _size_px(model: Model) -> tuple[int | None, int | None]:
    return (None, None) if model.graph is None else (model.graph.input_shape[2], model.graph.input_shape[3])


def _as_given(logits: Logits, model: Model) -> Float64Array:
    """Logits as the graph answers: as they are, or as probabilities."""
    if model.graph is not None and model.graph.output_values == "probabilities":
        return np.asarray(probabilities(logits, model.activation), np.float64)
    return logits.astype(np.float64)


def composed(inside: Normalization, preprocess: Preprocess) -> Preprocess:
    """The preprocessing that does the arithmetic of a graph, too."""
    channels = preprocess.channels
    factor, shift = (np.resize(row, channels) for row in (inside.factor, inside.shift))
    mean, std = np.array(preprocess.mean), np.array(preprocess.std)
    return msgspec.structs.replace(
        preprocess, mean=tuple((mean - shift * std / factor).tolist()), std=tuple((std / factor).tolist())
    )


def taken(outline: GraphOutline, spec: Architecture) -> TakenTensors:
    """The tensors of a variant by their canonical names, from the layers of a graph in the same places.

    Raises:
        InputError: a layer has no counterpart, or something between the layers has no place in the variant.
    """
    theirs, ours = graph_layers(outline), variant_layers(spec)
    norms = {node.source: node for node in unfold(spec) if isinstance(node, BatchNorm)}
    convs = {node.name for node in ours.values()}
    if lonely := [norm.name for norm in norms.values() if norm.source not in convs]:
        reason = f"{spec.name} has norms that stand behind no layer, such as {lonely[0]}"
        raise refuse(outline.path, reason, CONVERT)
    if theirs.keys() != ours.keys():
        raise refuse(outline.path, f"its layers are connected otherwise than those of {spec.name}", CONVERT)
    return {
        name: value.astype(np.float32)
        for place, node in ours.items()
        for name, value in _layer(outline, theirs[place], place, node, norms.get(node.name))
    }


def _layer(
    outline: GraphOutline, operation: GraphOperation, place: PlaceOfLayer, node: Conv | Dense, norm: BatchNorm | None
) -> Iterator[tuple[str, Float64Array]]:
    """The tensors of one layer, and of the norm behind it."""
    kernel = _kernel(outline, operation, place)
    if norm is not None and (stored := _stored_norm(outline, operation, norm)):
        yield f"{node.name}.weight", kernel
        yield from stored.items()
        return
    factor, shift = _behind(outline, operation, len(kernel))
    if norm is not None:
        yield f"{node.name}.weight", kernel
        values = (factor, shift, np.zeros(len(kernel)), np.full(len(kernel), 1 - norm.epsilon))
        for leaf, value in zip(("weight", "bias", "running_mean", "running_var"), values, strict=True):
            yield f"{norm.name}.{leaf}", value
        return
    yield f"{node.name}.weight", kernel * factor.reshape(-1, *(1,) * (kernel.ndim - 1))
    if isinstance(node, Dense) or node.bias:
        yield f"{node.name}.bias", shift
    elif shift.any():
        raise refuse(outline.path, f"its layer in the place of {node.name} has a bias, and that has none", CONVERT)


def _stored_norm(outline: GraphOutline, operation: GraphOperation, norm: BatchNorm) -> dict[str, Float64Array] | None:
    """The tensors of a norm that the graph has as it is; None where it was folded or differs."""
    readers = list(outline.readers(operation.outputs[0]))
    if len(readers) != 1 or readers[0].kind != "BatchNormalization" or len(operation.inputs) > 2:
        return None
    found = [constant(outline, name) for name in readers[0].inputs[1:]]
    if not np.isclose(readers[0].settings.get("epsilon", 1e-5), norm.epsilon) or any(part is None for part in found):
        return None
    leaves = ("weight", "bias", "running_mean", "running_var")
    return {f"{norm.name}.{leaf}": np.asarray(part, np.float64) for leaf, part in zip(leaves, found, strict=True)}


def _kernel(outline: GraphOutline, operation: GraphOperation, place: PlaceOfLayer) -> Float64Array:
    """Weights as (out, in, height, width) or (out, in)."""
    found = constant(outline, operation.inputs[1])
    if found is None:
        raise refuse(outline.path, "it computes the weights of a layer", CONVERT)
    values = found.astype(np.float64)
    if operation.kind == "CONV_2D":
        values = values.transpose(0, 3, 1, 2)
    elif operation.kind == "DEPTHWISE_CONV_2D":
        values = values.transpose(3, 0, 1, 2)
    elif values.ndim == 2 and operation.kind != "FULLY_CONNECTED" and not _is_transposed(operation):
        values = values.T
    return values.reshape(place.shape)


def _is_transposed(operation: GraphOperation) -> bool:
    """True for a matrix that stands as (outputs, inputs)."""
    return bool(operation.settings.get("transB") or operation.settings.get("transpose_b"))


def _behind(outline: GraphOutline, operation: GraphOperation, channels: int) -> tuple[Float64Array, Float64Array]:
    """Factor and shift of each channel that follow a layer: its bias, a norm, and arithmetic with constants."""
    factor, shift = np.ones(channels), np.zeros(channels)
    bias = constant(outline, operation.inputs[2]) if len(operation.inputs) > 2 else None
    if bias is not None:
        shift = shift + bias.ravel().astype(np.float64)
    value = operation.outputs[0]
    while len(readers := list(outline.readers(value))) == 1:
        step = _affine(outline, readers[0], value, channels)
        if step is None:
            break
        factor, shift, value = factor * step[0], shift * step[0] + step[1], readers[0].outputs[0]
    return factor, shift


def _affine(
    outline: GraphOutline, row: GraphOperation, value: str, channels: int
) -> tuple[Float64Array, Float64Array] | None:
    """Factor and shift of one operation; None if it is anything else."""
    ones, zeros = np.ones(channels), np.zeros(channels)
    if row.kind in UNCHANGING and row.kind not in ("Transpose", "TRANSPOSE", "Reshape", "RESHAPE"):
        return ones, zeros
    if row.kind == "BatchNormalization":
        found = [constant(outline, name) for name in row.inputs[1:]]
        if any(part is None for part in found):
            return None
        scale, bias, mean, variance = (np.asarray(part, np.float64) for part in found)
        factor = scale / np.sqrt(variance + row.settings.get("epsilon", 1e-5))
        return factor, bias - mean * factor
    kind = ARITHMETIC.get(row.kind)
    other = constant(outline, next((name for name in row.inputs if name != value), "")) if kind else None
    if other is None or other.size not in (1, channels) or (row.inputs[0] != value and kind in ("sub", "div")):
        return None
    numbers = np.resize(other.ravel().astype(np.float64), channels)
    steps = {"add": (ones, numbers), "sub": (ones, -numbers), "mul": (numbers, zeros), "div": (1 / numbers, zeros)}
    return steps[str(kind)]
