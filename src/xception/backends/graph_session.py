"""Sessions of exported graphs: the way from pixels and logits to the input and outputs of a graph."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xception.backends.base import Compute, Logits, Pixels, SessionFacts, standardization
from xception.bundle import Bundle, Graph
from xception.errors import InputError, UsageError, XceptionError, first_line
from xception.metrics import Activation
from xception.preprocess import Preprocess

MIN_PROBABILITY = np.finfo(np.float32).tiny
"""Probabilities below this become it before their logarithm is taken."""

MAX_PROBABILITY = 1 - 2.0**-24
"""Largest probability of a sigmoid below 1 in float32, which stands for all larger ones."""


class GraphSession:
    """Base of the sessions of exported graphs: the facts that their bundle states, and the way from the session's
    pixels and logits to the input and outputs of the graph."""

    name: str
    """The backend."""

    def __init__(self, bundle: Bundle, compute: Compute) -> None:
        self.graph = bundle.graph
        batch_size, channels, height, width = self.graph.input_shape
        self.facts = SessionFacts(
            name=self.name,
            input_shape=(channels, height, width),
            num_outputs=bundle.model.network.num_outputs,
            batch_size=batch_size,
            input_values=self.graph.input_values,
            standardization=standardization(bundle.model.preprocess),
            instances=compute.instances_at_once,
            threads=compute.threads_per_instance,
        )
        self._preprocess, self._activation = bundle.model.preprocess, bundle.model.activation
        self._file = bundle.main_file

    def __call__(self, pixels: NDArray[Any], /) -> Logits:
        return self.logits(self.outputs(pixels), len(pixels))

    def logits(self, found: Mapping[str, NDArray[Any]], images: int) -> Logits:
        """The logits, or embeddings, of some images among all outputs of the graph.

        Raises:
            InputError: they are not among them.
        """
        if self.graph.output_name not in found:
            raise InputError(
                f"{self._file} has the outputs {', '.join(found)}, but its bundle states {self.graph.output_name}; "
                "make the bundle again"
            )
        # Graphs of others may keep the axes of one position, (N, K, 1, 1), or drop that of the only image.
        return logits_of(found[self.graph.output_name].reshape(images, -1), self.graph, self._activation)

    def outputs(self, pixels: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """All outputs of the graph by name, as it gives them.

        Raises:
            InputError: the runtime cannot run the graph on such pixels.
        """
        values = graph_input(pixels, self.graph, self._preprocess)
        try:
            return self._run(values)
        except (XceptionError, MemoryError):
            raise
        # Each runtime has exceptions of its own, which share no base class but this one.
        except Exception as error:
            raise InputError(
                f"{self.name} cannot run {self._file} on {values.dtype} of shape {values.shape}: "
                f"{first_line(error)}; make the bundle again"
            ) from error

    def _run(self, values: NDArray[Any]) -> dict[str, NDArray[Any]]:
        raise NotImplementedError


def graph_input(pixels: NDArray[Any], graph: Graph, preprocess: Preprocess) -> NDArray[Any]:
    """Normalised pixels (N, C, H, W) as a graph takes them: in its layout, and as 8-bit images where it normalises,
    for which these images (uint8) may be given too.

    Raises:
        UsageError: the graph takes 8-bit images and the pixels are not made of any.
    """
    values = pixels
    if graph.input_values == "image" and pixels.dtype != np.uint8:
        values = _images(pixels, preprocess)
    return np.ascontiguousarray(values.transpose(0, 2, 3, 1)) if graph.input_layout == "nhwc" else values


def _images(pixels: Pixels, preprocess: Preprocess) -> NDArray[np.uint8]:
    mean, std = (np.array(row, np.float32)[:, None, None] for row in (preprocess.mean, preprocess.std))
    exact = (pixels * std + mean) * np.float32(preprocess.divisor)
    images = exact.round()
    # Rounding of normalised 8-bit values and back stays below a thousandth; anything more was no image.
    if not (np.abs(exact - images) < 0.01).all() or images.min(initial=0) < 0 or images.max(initial=0) > 255:
        raise UsageError("the graph takes 8-bit images, but these pixels do not come from 8-bit values; pass images")
    return images.astype(np.uint8)


def logits_of(values: NDArray[Any], graph: Graph, activation: Activation) -> Logits:
    """A graph's main output (N, K) as logits; an embedding as it is.

    Those of a graph that ends in a softmax are logarithms of its probabilities, which differ from the network's own by
    one number per image and so mean the same. Those of sigmoids are the network's own, as far as float32 tells a
    probability from 0 and from 1.
    """
    values = np.array(values, np.float32)
    if graph.output_values != "probabilities":
        return values
    if activation != "sigmoid":
        return np.asarray(np.log(np.maximum(values, MIN_PROBABILITY)))
    bounded = values.astype(np.float64).clip(MIN_PROBABILITY, MAX_PROBABILITY)
    return np.asarray(np.log(bounded) - np.log1p(-bounded), np.float32)
