"""KerasHub's network, in the environment `keras_models.txt`."""

from argparse import Namespace
from pathlib import Path

import keras
import keras_hub

from parity.command import Network, main
from parity.keras_network import KerasNetwork, save_without_names

SHARD_GB = 0.03

# The arguments of the published preset.
WIDTHS = [[32, 64], [128, 128], [256, 256], [728, 728], *[[728, 728, 728]] * 8, [728, 1024], [1536, 2048]]
POOLING = [False, True, True, True, *[False] * 8, True, False]


class KerasHub(KerasNetwork):
    def __init__(self, num_classes: int, filters: list[list[int]], pooling: list[bool]) -> None:
        backbone = keras_hub.models.XceptionBackbone(
            stackwise_conv_filters=filters, stackwise_pooling=pooling, image_shape=(None, None, 3)
        )
        converter = keras_hub.layers.XceptionImageConverter(image_size=(299, 299), scale=1 / 127.5, offset=-1.0)
        preprocessor = keras_hub.models.XceptionImageClassifierPreprocessor(converter)
        classifier = keras_hub.models.XceptionImageClassifier(backbone, num_classes, preprocessor)
        super().__init__(classifier, "keras_hub")
        self.are_published = filters == WIDTHS

    def _weights(self) -> dict[str, keras.Variable]:
        layers = [*self.model.backbone.layers, *(layer for layer in self.model.layers if layer.name == "predictions")]
        return {f"{layer.name}/{weight.name}": weight for layer in layers for weight in layer.weights}

    def save(self, folder: Path) -> None:
        super().save(folder)
        weights = folder / "model.weights.h5"
        if self.are_published:
            save_without_names(weights, folder / "unnamed.weights.h5")
        else:
            weights.unlink()  # weights alone do not tell what other network they are of
        self.model.save_to_preset(folder / "preset")
        self.model.save_to_preset(folder / "sharded", max_shard_size=SHARD_GB)


def build(arguments: Namespace) -> Network:
    keras.config.set_floatx(arguments.dtype)
    keras.config.set_dtype_policy(arguments.dtype)
    widths = arguments.stackwise or {"filters": WIDTHS, "pooling": POOLING}
    return KerasHub(arguments.num_classes, **widths)


if __name__ == "__main__":
    main(build)
