"""Comparison of an export with its parent: run by the real runtime in several batch and image sizes."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from typing import Any, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from xception.backends.base import Logits, Pixels, open_session
from xception.backends.graph_session import MIN_PROBABILITY, GraphSession
from xception.bundle import Agreement, Bundle, Graph, Precision
from xception.errors import CheckFailed, InputError
from xception.export.mismatch import first_mismatch
from xception.export.program import TOP_INDICES, TOP_VALUES, Values
from xception.extras import require
from xception.metrics import Activation, log_softmax, probabilities
from xception.tasks.agreement import agreement_of
from xception.waits import each

TOLERANCES: Mapping[Precision, float] = {"float32": 1e-5, "float16": 2e-2}
"""Largest logit difference over the largest logit. Rounding stays below 1e-6 in float32, where the smallest mistake
that one variant taken for another makes is 5e-3. Half precision keeps 11 bits, of which some hundred operations in a
row cost about half."""

VERIFIED_BATCH_SIZES = (1, 2, 7)
"""One image, the smallest number above it, and an odd one."""

MAPS_FACTOR = 10
"""Factor by which class maps may differ more than logits, since they are not averaged over the image."""

Runner = Callable[[Mapping[str, Pixels]], Mapping[str, Values]]
"""Batches of pixels by name to all outputs of the graph by the batch's name."""


def verify(exported: Bundle, parent: Bundle, probes: Sequence[Pixels], run: Runner | None = None) -> Agreement:
    """Compare every output of a graph with what its parent's network computes.

    Args:
        exported: a bundle with a graph.
        parent: the bundle of weights that it was made from.
        probes: pixels (N, C, H, W), in any number of arrays.
        run: what runs the graph; by default the bundle's own backend.

    Raises:
        CheckFailed: the runtime does not run the graph in some size, or an output differs; the message names the
            first operation that does, where the runtime shows what it computes inside.
    """
    graph = exported.graph
    probes = _by_size(probes)
    batches = dict(_batches(probes, graph.input_shape[0]))
    theirs = _network_outputs(parent, batches, class_maps=graph.class_maps)
    ours = (run or partial(run_session, exported, parent))(batches)
    rows = {
        name: (
            _comparable(ours[name][graph.output_name], graph, exported.model.activation),
            _expected(theirs[name]["logits"], graph, exported.model.activation),
        )
        for name in batches
    }
    for name, (found, expected) in rows.items():
        if found.shape != expected.shape:
            raise CheckFailed(
                f"the {exported.model.form} graph gives logits of the shape {found.shape} for {name}, expected "
                f"{expected.shape}: {_where(exported, parent, batches[name], 0)}; report this with the versions in use"
            )
    measured = agreement_of(*(np.concatenate(side) for side in zip(*rows.values(), strict=True)))
    tolerance = TOLERANCES[exported.model.precision]
    if not measured.relative_diff <= tolerance:
        worst = max(rows, key=lambda name: _differences(*rows[name]).max())
        where = _where(exported, parent, batches[worst], int(_differences(*rows[worst]).argmax()))
        raise CheckFailed(
            f"the {exported.model.form} graph differs from the weights of {parent.path} "
            f"by {measured.relative_diff:.1e} of the largest logit, more than {tolerance:.0e}: {where}; "
            f"{_advice(exported)}"
        )
    for name, values in ours.items():
        _check_extras(values, theirs[name], exported)
    return msgspec.structs.replace(
        measured,
        samples=sum(map(len, probes)),
        batch_sizes=tuple(sorted({len(pixels) for pixels in batches.values()})),
        sizes_px=tuple((pixels.shape[2], pixels.shape[3]) for pixels in probes),
    )


def _advice(exported: Bundle) -> str:
    """The next step of a user whose graph differs, which of float16 is no fault of the export."""
    if exported.model.precision == "float16":
        return (
            "float16 holds numbers up to 65,504 with 11 bits, which is not enough for these weights: export in float32"
        )
    return "report this with the versions in use"


def _differences(ours: Logits, theirs: Logits) -> NDArray[np.float32]:
    """The largest difference of each image; numbers that are none count as the largest of all."""
    return np.asarray(np.nan_to_num(np.abs(ours - theirs).max(axis=1), nan=np.inf), np.float32)


def _where(exported: Bundle, parent: Bundle, batch: Pixels, image: int) -> str:
    """The first operation that differs on this image, or else on its batch, in words."""
    tolerance = TOLERANCES[exported.model.precision]
    by_itself = [batch[image : image + 1]] if exported.graph.input_shape[0] is None else []
    found = (first_mismatch(exported, parent, pixels, tolerance) for pixels in (*by_itself, batch))
    return next((mismatch.sentence() for mismatch in found if mismatch), "no operation inside it shows where")


def _by_size(probes: Sequence[Pixels]) -> list[Pixels]:
    """One array for each image size."""
    sizes = dict.fromkeys(pixels.shape[2:] for pixels in probes)
    return [np.concatenate([pixels for pixels in probes if pixels.shape[2:] == size]) for size in sizes]


def _batches(probes: Sequence[Pixels], fixed: int | None) -> Iterator[tuple[str, Pixels]]:
    """All images in the largest batch size and the first ones in the others; a last batch starts over."""
    for pixels in probes:
        for size in (fixed,) if fixed else VERIFIED_BATCH_SIZES:
            count = len(pixels) if size == (fixed or max(VERIFIED_BATCH_SIZES)) else min(len(pixels), 2 * size)
            for start in range(0, count, size):
                chosen = np.arange(start, start + size) % len(pixels)
                yield f"{pixels.shape[2]}x{pixels.shape[3]} px, batch of {size}, from {start}", pixels[chosen]


def run_session(exported: Bundle, parent: Bundle, batches: Mapping[str, Pixels]) -> dict[str, Values]:
    """All outputs of a graph by the name of the batch, in the bundle's own backend.

    Raises:
        CheckFailed: the runtime stops at a batch.
    """
    found: dict[str, Values] = {}
    with closing(open_session(exported)) as session:
        for name, pixels in each(batches.items(), "running the graph, batch by batch", len(batches)):
            try:
                found[name] = cast(GraphSession, session).outputs(pixels)
            except InputError as error:
                mismatch = first_mismatch(exported, parent, pixels, TOLERANCES[exported.model.precision])
                where = mismatch.sentence() if mismatch else str(error)
                raise CheckFailed(
                    f"the {exported.model.form} graph does not run on {name}: {where}; report this with the versions "
                    "in use"
                ) from error
    return found


def _network_outputs(parent: Bundle, batches: Mapping[str, Pixels], *, class_maps: bool) -> dict[str, Values]:
    torch = require("torch", "torch")
    # The network's module imports torch, which no other export needs.
    from xception.models.network import build

    network = build(parent.model.network.architecture(), parent.tensors()).eval()
    with torch.inference_mode():
        rows = each(batches.items(), "running the weights, batch by batch", len(batches))
        return {name: _outputs(network, torch.from_numpy(pixels), class_maps) for name, pixels in rows}


def _outputs(network: Any, pixels: Any, class_maps: bool) -> Values:
    values = {"logits": network(pixels).numpy()}
    return {**values, "class_maps": network.class_maps(pixels).numpy()} if class_maps else values


def _comparable(values: NDArray[Any], graph: Graph, activation: Activation) -> Logits:
    """A graph's main output: the logarithms of a softmax, whose differences are those of logits. Sigmoids are compared
    as they are, since a runtime's sigmoid is exact to a part of 1, not to a part of itself."""
    if graph.output_values != "probabilities" or activation == "sigmoid":
        return np.asarray(values, np.float32)
    return np.asarray(np.log(np.maximum(values, MIN_PROBABILITY)), np.float32)


def _expected(logits: Logits, graph: Graph, activation: Activation) -> Logits:
    """The network's logits in the form of `_comparable`."""
    if graph.output_values != "probabilities":
        return logits
    if activation == "sigmoid":
        return probabilities(logits, activation).astype(np.float32)
    return np.maximum(log_softmax(logits), np.log(MIN_PROBABILITY)).astype(np.float32)


def _check_extras(values: Values, expected: Values, exported: Bundle) -> None:
    """Refuse additional outputs that are wrong."""
    model, graph = exported.model, exported.graph
    if graph.class_maps:
        maps = agreement_of(values["class_maps"], expected["class_maps"])
        if not maps.relative_diff <= MAPS_FACTOR * TOLERANCES[model.precision]:
            raise CheckFailed(f"the class maps of {exported.path} differ by {maps.relative_diff:.1e}; export it again")
    if graph.top_k:
        main, best, chosen = values[graph.output_name], values[TOP_VALUES], values[TOP_INDICES]
        taken = np.take_along_axis(main, chosen.astype(np.int64), 1)
        if not (np.array_equal(taken, best) and np.array_equal(best, -np.sort(-main, axis=1)[:, : graph.top_k])):
            raise CheckFailed(f"the top values of {exported.path} are not the largest of its output; export it again")
