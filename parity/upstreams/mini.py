"""oarriaga's face_classification, from a checkout, in the environment `keras.txt`."""

import json
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path

import h5py
import keras

from parity.checkout import load_file
from parity.command import Network, main
from parity.keras_network import KerasNetwork

MINI48 = "fer2013_mini_XCEPTION.119-0.65.hdf5"
"""The one file with a network of which the repository has no code."""


KEPT = ("filters", "kernel_size", "strides", "padding", "use_bias", "activation", "pool_size", "epsilon", "momentum")
"""What a layer's description says about what it computes."""


class SeparableConv2D(keras.layers.SeparableConv2D):
    """Takes a regularizer and ignores it, as Keras 2 did, for which the networks were written."""

    def __init__(self, *positional: object, kernel_regularizer: object = None, **named: object) -> None:
        super().__init__(*positional, **named)


def build(arguments: Namespace) -> Network:
    keras.config.set_floatx(arguments.dtype)
    keras.layers.SeparableConv2D = SeparableConv2D
    if arguments.variant == "mini48_xception":
        return KerasNetwork(_described_by(arguments.checkout / "trained_models" / MINI48))
    module = load_file("face_classification", arguments.checkout / "src" / "models" / "cnn.py")
    factory = getattr(module, arguments.variant.replace("xception", "XCEPTION"))
    model = factory((None, None, arguments.channels), arguments.num_classes)
    # Its last layer is the softmax.
    return KerasNetwork(keras.Model([model.input], model.layers[-2].output))


def _described_by(file: Path) -> keras.Model:
    """The network that a file of Keras 2 describes, for images of any size, without its softmax.

    Its layers get the names of a fresh process of Keras 3, where the first of a class has no number.
    """
    with h5py.File(file) as content:
        config = json.loads(content.attrs["model_config"])["config"]
    outputs: dict[str, keras.KerasTensor] = {}
    for layer in config["layers"][:-1]:
        name, options = layer["name"], layer["config"]
        if layer["class_name"] == "InputLayer":
            outputs[name] = pixels = keras.Input((None, None, options["batch_input_shape"][-1]))
            continue
        inputs = [outputs[source[0]] for source in layer["inbound_nodes"][0]]
        outputs[name] = logits = _layer(layer["class_name"], options)(inputs if len(inputs) > 1 else inputs[0])
    return keras.Model(pixels, logits)


def _layer(class_name: str, options: Mapping[str, object]) -> keras.layers.Layer:
    """A layer without what only training asks for, under Keras 3's name."""
    base, _, number = str(options["name"]).rpartition("_")
    kept = {key: options[key] for key in KEPT if key in options}
    return getattr(keras.layers, class_name)(name=f"{base}_{int(number) - 1}".removesuffix("_0"), **kept)


if __name__ == "__main__":
    main(build)
