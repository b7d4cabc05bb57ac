"""zeromodels' networks, in the environment `keras_models.txt`."""

from argparse import Namespace
from math import prod
from pathlib import Path

import keras
from zeromodels.conversion.zm_config import write_zm_config, write_zm_preprocessor
from zeromodels.models.xception import XceptionConfig, XceptionImageClassify, XceptionImageProcessor

from parity.command import Network, main
from parity.keras_network import KerasNetwork, save_without_names

SHARD_GB = 0.05


class Zeromodels(KerasNetwork):
    def __init__(self, variant: str, num_classes: int) -> None:
        self.facts = {
            "config": variant.removeprefix("timm_xception"),
            "preact": variant.endswith("p"),
            "bn_epsilon": 1e-5 if variant.endswith("41p") else 1e-3,
            "num_classes": num_classes,
        }
        super().__init__(XceptionImageClassify(**self.facts, image_size=(None, None, 3)), "zeromodels")

    def fan_in(self, name: str, shape: tuple[int, ...]) -> int:
        # Its depthwise kernels have the name that all kernels have.
        return prod(shape[:2]) if name.endswith("_dwconv/kernel") else super().fan_in(name, shape)

    def save(self, folder: Path) -> None:
        super().save(folder)
        save_without_names(folder / "model.weights.h5", folder / "unnamed.weights.h5")
        for name, shards in (("folder", None), ("sharded", SHARD_GB)):
            place = folder / name
            place.mkdir()
            weights = "model.weights.json" if shards else "model.weights.h5"
            self.model.save_weights(place / weights, **({"max_shard_size": shards} if shards else {}))
            config = XceptionConfig(**self.facts)
            write_zm_config(str(place), XceptionImageClassify, "parity", config, weights_filename=weights)
            write_zm_preprocessor(str(place), XceptionImageProcessor(), "parity")


def build(arguments: Namespace) -> Network:
    keras.config.set_floatx(arguments.dtype)
    return Zeromodels(arguments.variant, arguments.num_classes)


if __name__ == "__main__":
    main(build)
