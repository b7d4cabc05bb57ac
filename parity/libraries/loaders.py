"""The sources' own ways from a file to pixels: `python -m parity.libraries.loaders LOADER OUT.npz FILE...`."""

import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np

Array = np.ndarray


def timm(path: str) -> Array:
    from timm.data import ImageDataset

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "class").mkdir()
        shutil.copy(path, Path(folder) / "class")
        return np.asarray(ImageDataset(folder)[0][0])


def torchvision(path: str) -> Array:
    from torchvision.datasets.folder import default_loader

    return np.asarray(default_loader(path))


def keras(path: str) -> Array:
    from keras.utils import img_to_array, load_img

    return np.asarray(img_to_array(load_img(path)))


def tensorflow(path: str) -> Array:
    import tensorflow

    return np.asarray(tensorflow.io.decode_image(tensorflow.io.read_file(path), channels=3))


def opencv(path: str) -> Array:
    """The call of PaddleClas' DecodeImage; it makes RGB of the result."""
    import cv2

    return np.asarray(cv2.imdecode(np.fromfile(path, np.uint8), 1)[:, :, ::-1])


def mindspore(path: str) -> Array:
    from mindspore.dataset.vision import Decode

    return np.asarray(Decode()(np.fromfile(path, np.uint8)))


LOADERS: dict[str, tuple[Callable[[str], Array], str]] = {
    "timm": (timm, "timm"),
    "torchvision": (torchvision, "torchvision"),
    "keras": (keras, "keras"),
    "tensorflow": (tensorflow, "tensorflow"),
    "opencv": (opencv, "opencv-python-headless"),
    "mindspore": (mindspore, "mindspore"),
}
"""Loaders by name, each with the package whose version counts."""

if __name__ == "__main__":
    load, package = LOADERS[sys.argv[1]]
    images = {Path(path).name: load(path).astype(np.uint8) for path in sys.argv[3:]}
    np.savez(sys.argv[2], versions=json.dumps({package: version(package)}), **images)  # type: ignore[arg-type]
