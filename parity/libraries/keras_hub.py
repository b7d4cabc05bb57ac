"""KerasHub's converter of images, as `predict` runs it, in the environment `keras_models.txt`."""

from collections.abc import Mapping
from typing import Any

import keras_hub
import numpy as np
import tensorflow

from parity.libraries.command import Eightbit, Normalize, main

INTEGERS = {"scale": None, "offset": None}
"""Without the last step."""


def steps(preprocess: Mapping[str, Any]) -> tuple[Eightbit, Normalize]:
    size = (preprocess["resize"]["height_px"], preprocess["resize"]["width_px"])
    resize = keras_hub.layers.ImageConverter(
        image_size=size, interpolation=preprocess["interpolation"], antialias=preprocess["antialias"]
    )
    scale = keras_hub.layers.ImageConverter(scale=1 / 127.5, offset=-1.0)
    return lambda image: _in_a_graph(resize, image), lambda image: _in_a_graph(scale, image).transpose(2, 0, 1)


def _in_a_graph(converter: keras_hub.layers.ImageConverter, image: np.ndarray) -> np.ndarray:
    """Called directly on whole numbers it would round; in the graph of a data set it does not."""
    (result,) = tensorflow.data.Dataset.from_tensors(image).map(converter)
    return np.asarray(result, np.float32)


if __name__ == "__main__":
    main(steps, "keras-hub", "keras", "tensorflow")
