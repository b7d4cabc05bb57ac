"""Keras' own network, in the environment `keras.txt`."""

from argparse import Namespace

import keras

from parity.command import Network, main
from parity.keras_network import KerasNetwork


def build(arguments: Namespace) -> Network:
    keras.config.set_floatx(arguments.dtype)
    pixels = keras.Input((None, None, 3))
    return KerasNetwork(keras.applications.Xception(weights=None, input_tensor=pixels, classifier_activation=None))


if __name__ == "__main__":
    main(build)
