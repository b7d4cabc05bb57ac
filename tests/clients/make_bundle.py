"""Writes what the checks serve: python -m tests.clients.make_bundle FOLDER, in the environment of the package."""

import sys
from pathlib import Path

import msgspec
import numpy as np

from tests.support.reader import weights_of_digits
from xception.arch.compute import tensors
from xception.bundle import Model, Network, write_bundle
from xception.data.digits import digits
from xception.export.export import export_bundle
from xception.export.program import GraphOptions
from xception.labels import Labels
from xception.preprocess import Preprocess, Squash
from xception.weights import weights_bytes

MAPS = GraphOptions(class_maps=True)
SPOTTER = Network(variant="mini_xception", num_classes=2, in_channels=1)


def spotter_tensors() -> dict[str, np.ndarray]:
    """Weights that average whatever is bright, so that the class `spot` is where something bright is."""
    found = {}
    for name, shape in tensors(SPOTTER.architecture()).items():
        if len(shape) == 4:
            found[name] = np.full(shape, 1 / np.prod(shape[1:]), np.float32)
        else:
            is_one = name.endswith(("weight", "running_var"))
            found[name] = np.full(shape, float(is_one), np.float32)
    found["head.classifier.weight"][0] *= -1
    return found


def main() -> None:
    """A reader of digits and a spotter of bright things, both with class maps, the reader with a sigmoid per class, and
    eight digits to read."""
    folder = Path(sys.argv[1])
    reader = weights_of_digits(folder / "weights")
    export_bundle(reader, "onnx", folder / "digits", options=MAPS)
    several = msgspec.structs.replace(reader.model, activation="sigmoid")
    files = {"weights.safetensors": (folder / "weights" / "weights.safetensors").read_bytes()}
    export_bundle(write_bundle(folder / "several-weights", several, reader.labels, files), "onnx", folder / "several")
    preprocess = Preprocess(color="gray", resize=Squash(width_px=64, height_px=64), mean=(0.5,), std=(0.5,))
    model = Model(name="spotter", network=SPOTTER, form="weights", precision="float32", preprocess=preprocess)
    files = {"weights.safetensors": weights_bytes(spotter_tensors())}
    spotter = write_bundle(folder / "spotter-weights", model, Labels(("nothing", "spot")), files)
    export_bundle(spotter, "onnx", folder / "spotter", options=MAPS)
    (folder / "photos").mkdir()
    for item in list(digits("test"))[:8]:
        item.load().save(folder / "photos" / f"{item.key}.png")


if __name__ == "__main__":
    main()
