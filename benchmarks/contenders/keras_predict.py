"""Keras' network and `Model.predict`, with TensorFlow beneath, in the environment `keras.txt` of parity/."""

from argparse import Namespace
from pathlib import Path

import keras
import numpy as np

from benchmarks.contenders.serve import PX, serve
from parity.command import fill
from parity.keras_network import KerasNetwork


class Keras:
    packages = ("keras", "tensorflow-cpu")

    def __init__(self, arguments: Namespace) -> None:  # noqa: ARG002 - the one network that Keras has
        pixels = keras.Input((PX, PX, 3))
        model = keras.applications.Xception(weights=None, input_tensor=pixels, classifier_activation=None)
        fill(KerasNetwork(model))
        self.model = model

    def logits(self, pixels: np.ndarray) -> np.ndarray:
        return self.model.predict(_channels_last(pixels), verbose=0)

    def infer(self, pixels: np.ndarray, count: int) -> None:
        images = np.tile(_channels_last(pixels), (count, 1, 1, 1))
        self.model.predict(images, batch_size=len(pixels), verbose=0)

    def end_to_end(self, photos: Path, batch: int) -> int:
        """As Keras' documentation has it: a data set of a folder, the network's own preprocessing, `predict`."""
        images = keras.utils.image_dataset_from_directory(
            photos, label_mode=None, batch_size=batch, image_size=(PX, PX), shuffle=False, verbose=False
        )
        images = images.map(keras.applications.xception.preprocess_input)
        return len(self.model.predict(images, verbose=0).argmax(1))


def _channels_last(pixels: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(pixels.transpose(0, 2, 3, 1))


if __name__ == "__main__":
    serve(Keras)
