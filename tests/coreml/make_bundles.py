"""Writes the bundles that the checks convert: python -m tests.coreml.make_bundles FOLDER, where the package is."""

import sys
from pathlib import Path

import numpy as np

from tests.support.samples import drawn_tensors
from xception.bundle import Model, Network
from xception.export.export import export_bundle
from xception.export.program import GraphOptions
from xception.goldens import write_with_goldens
from xception.labels import Labels
from xception.preprocess import Preprocess, Squash
from xception.weights import weights_bytes

SQUARE = Squash(width_px=40, height_px=40)
GRAY = Preprocess(color="gray", resize=SQUARE, mean=(0.5,), std=(0.5,))
RGB = Preprocess(resize=SQUARE, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
BGR = Preprocess(color="bgr", resize=SQUARE, divisor=1.0, mean=(104.0, 117.0, 124.0), std=(57.0, 58.0, 59.0))
CASES = {
    "gray": (GRAY, ("nothing", "something", "all")),
    "rgb": (RGB, ("red", "green", "blue")),
    "bgr": (BGR, ("crane", "heron", "crane")),
}


SHARE_OF_LOGITS = 0.1


def main() -> None:
    """For each case a `.pt2` bundle with probabilities, in batches of one, in `FOLDER/CASE/digits-pt2`."""
    for name, (preprocess, labels) in CASES.items():
        folder = Path(sys.argv[1]) / name
        folder.mkdir(parents=True)
        network = Network(variant="mini_xception", num_classes=3, in_channels=preprocess.channels)
        model = Model(name=name, network=network, form="weights", precision="float32", preprocess=preprocess)
        tensors = drawn_tensors(network.architecture())
        # Drawn weights make one class certain, whatever the image is; a proof needs answers that depend on it.
        tensors["head.classifier.weight"] *= np.float32(SHARE_OF_LOGITS)
        weights = {"weights.safetensors": weights_bytes(tensors)}
        bundle = write_with_goldens(folder / "weights", model, Labels(labels), weights)
        options = GraphOptions(fixed_batch=1, probabilities=True)
        export_bundle(bundle, "pt2", folder / "digits-pt2", options=options)


if __name__ == "__main__":
    main()
