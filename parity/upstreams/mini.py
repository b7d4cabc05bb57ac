"""oarriaga's face_classification, from a checkout, in the environment `keras.txt`."""

from argparse import Namespace

import keras

from parity.checkout import load_file
from parity.command import Network, main
from parity.keras_network import KerasNetwork


class SeparableConv2D(keras.layers.SeparableConv2D):
    """Takes a regularizer and ignores it, as Keras 2 did, for which the networks were written."""

    def __init__(self, *positional: object, kernel_regularizer: object = None, **named: object) -> None:
        super().__init__(*positional, **named)


def build(arguments: Namespace) -> Network:
    keras.config.set_floatx(arguments.dtype)
    keras.layers.SeparableConv2D = SeparableConv2D
    module = load_file("face_classification", arguments.checkout / "src" / "models" / "cnn.py")
    factory = getattr(module, arguments.variant.replace("xception", "XCEPTION"))
    model = factory((None, None, arguments.channels), arguments.num_classes)
    # Its last layer is the softmax.
    return KerasNetwork(keras.Model([model.input], model.layers[-2].output))


if __name__ == "__main__":
    main(build)
