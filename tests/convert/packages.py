"""Files as KerasHub, zeromodels and lucid write them, with narrow random weights."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from safetensors.numpy import save_file

from parity.ours import draw
from tests.convert.checkpoints import Tensors
from xception.arch.spec import Architecture
from xception.arch.stackwise import Stackwise
from xception.arch.variants import architecture

LEAVES = ("kernel", "depthwise_kernel", "gamma", "pointwise_kernel", "beta", "bias", "moving_mean", "moving_variance")

WIDTHS = Stackwise(filters=((4, 6), (8, 8), (8, 8), (10, 12), (14, 16)), pooling=(True, True, False, True, True))


def write_layers(path: Path, values: Mapping[str, np.ndarray], inside: str = "") -> Path:
    """A `.weights.h5` of Keras 3: groups numbered in each class, with the names of their layers."""
    layers: dict[str, Tensors] = {}
    for name, value in values.items():
        layer, _, leaf = name.rpartition("/")
        layers.setdefault(layer, {})[leaf] = value
    with h5py.File(path, "a") as file:
        for number, (layer, leaves) in enumerate(layers.items()):
            kind = keras_class(leaves)
            place = file.create_group(f"{inside}layers/{kind}_{number}/vars")
            place.attrs["name"] = layer
            for index, leaf in enumerate(sorted(leaves, key=LEAVES.index)):
                place[str(index)] = leaves[leaf]
    return path


def keras_class(leaves: Mapping[str, np.ndarray]) -> str:
    if "gamma" in leaves:
        return "batch_normalization"
    if "depthwise_kernel" in leaves:
        return "separable_conv2d"
    return "dense" if leaves["kernel"].ndim == 2 else "conv2d"


def keras_hub_config(stackwise: Stackwise = WIDTHS, **changes: Any) -> dict[str, Any]:
    """`config.json` of a preset."""
    config = {
        "name": "xception_backbone",
        "trainable": True,
        "dtype": {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "float32"}},
        "stackwise_conv_filters": [list(widths) for widths in stackwise.filters],
        "stackwise_pooling": list(stackwise.pooling),
        "image_shape": [None, None, 3],
    }
    return {
        "class_name": "XceptionBackbone",
        "config": config | changes,
        "registered_name": "keras_hub>XceptionBackbone",
    }


def converter_config(**changes: Any) -> dict[str, Any]:
    """An image converter inside of a classifier's preprocessor."""
    config = {
        "name": "xception_image_converter",
        "trainable": True,
        "dtype": None,
        "image_size": [299, 299],
        "scale": 0.00784313725490196,
        "offset": -1.0,
        "interpolation": "bilinear",
        "antialias": False,
        "crop_to_aspect_ratio": True,
        "pad_to_aspect_ratio": False,
        "bounding_box_format": "yxyx",
    }
    converter = {"class_name": "XceptionImageConverter", "config": config | changes}
    return {"class_name": "XceptionImageClassifierPreprocessor", "config": {"image_converter": converter}}


def task_config(backbone: Mapping[str, Any], preprocessor: Mapping[str, Any] | None, **changes: Any) -> dict[str, Any]:
    """`task.json` of a preset."""
    config = {
        "backbone": backbone,
        "preprocessor": preprocessor,
        "name": "xception_image_classifier",
        "num_classes": 5,
        "pooling": "avg",
        "activation": None,
        "dropout": 0.0,
    }
    return {
        "class_name": "XceptionImageClassifier",
        "config": config | changes,
        "registered_name": "keras_hub>XceptionImageClassifier",
    }


def write_preset(folder: Path, stackwise: Stackwise = WIDTHS, head: Mapping[str, Any] | None = None) -> Path:
    """A preset of a classifier of 5 classes; `head` are changes of `task.json`, None leaves the head out."""
    folder.mkdir()
    spec = architecture("keras_xception", stackwise=stackwise, num_classes=5)
    values = draw(spec, "keras_hub")
    classifier = {name: values.pop(name) for name in ("predictions/kernel", "predictions/bias")}
    write_layers(folder / "model.weights.h5", values)
    backbone = keras_hub_config(stackwise)
    (folder / "config.json").write_text(json.dumps(backbone))
    if head is not None:
        task = task_config(backbone, converter_config())
        (folder / "task.json").write_text(json.dumps(task | {"config": task["config"] | head}))
        (folder / "preprocessor.json").write_text(json.dumps(converter_config()))
        write_layers(folder / "task.weights.h5", classifier)
    return folder


ZM_CONFIG: dict[str, Any] = {
    "library_name": "zeromodels",
    "zeromodels_version": "1.3.6",
    "model_module": "zeromodels.models.xception",
    "model_class": "XceptionImageClassify",
    "variant": "xception41p_ra3_in1k",
    "weights": "model.weights.h5",
    "schema_version": 2,
    "model_type": "xception",
}
ZM_SETTINGS: dict[str, Any] = {"config": "41p", "preact": True, "bn_epsilon": 1e-5, "image_size": 299, "num_classes": 5}
ZM_PREPROCESSOR: dict[str, Any] = {
    "library_name": "zeromodels",
    "preprocessor_class": "XceptionImageProcessor",
    "size": {"height": 299, "width": 299},
    "crop_size": {"height": 224, "width": 224},
    "resample": "bicubic",
    "do_resize": True,
    "do_center_crop": False,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
    "antialias": True,
    "return_tensor": True,
    "data_format": None,
}


def narrow41p() -> Architecture:
    return architecture("timm_xception41p", width=0.05, num_classes=5)


def write_zeromodels(folder: Path, config: Mapping[str, Any], preprocessor: Mapping[str, Any] | None = None) -> Path:
    """A folder of a narrow pre-activation network of 5 classes."""
    folder.mkdir()
    write_layers(folder / "model.weights.h5", draw(narrow41p(), "zeromodels"))
    (folder / "zm_config.json").write_text(json.dumps(config))
    if preprocessor:
        (folder / "zm_preprocessor.json").write_text(json.dumps(preprocessor))
    return folder


LUCID_HEADER = {"format": "lucid", "lucid_version": "3.16.0", "architecture": "xception", "tag": "TF_IN1K"}
LUCID_CONFIG: dict[str, Any] = {
    "library_name": "lucid",
    "architecture": "xception",
    "config": {"num_classes": 5, "in_channels": 3, "dropout": 0.5},
    "preprocessing": {
        "preprocessor_type": "ImageClassification",
        "init_kwargs": {
            "crop_size": 299,
            "resize_size": 333,
            "mean": [0.5, 0.5, 0.5],
            "std": [0.5, 0.5, 0.5],
            "interpolation": "bicubic",
        },
    },
}


def write_lucid(path: Path, header: Mapping[str, str] = LUCID_HEADER) -> Path:
    """The safetensors of a narrow network of 5 classes."""
    values = draw(architecture("timm_xception", width=0.05, num_classes=5), "lucid")
    saved = {
        name.replace("classifier.", "classifier.1."): np.ascontiguousarray(value) for name, value in values.items()
    }
    save_file({**saved, "bn1.num_batches_tracked": np.zeros(1, np.int64)}, path, dict(header))
    return path
