"""Configurations as training scripts leave them next to checkpoints."""

import pickle
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from tests.convert.checkpoints import drawn

NORMALIZE = {"scale": "1.0/255.0", "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "order": ""}
OPERATIONS: list[dict[str, Any]] = [
    {"DecodeImage": {"to_rgb": True, "channel_first": False}},
    {"ResizeImage": {"resize_short": 256}},
    {"CropImage": {"size": 224}},
    {"NormalizeImage": NORMALIZE},
]
PADDLE = {
    "Global": {"image_shape": [3, 224, 224], "epochs": 120},
    "Arch": {"name": "Xception41", "class_num": 11},
    "Loss": {"Train": [{"CELoss": {"weight": 1.0}}]},
    "DataLoader": {"Eval": {"dataset": {"transform_ops": OPERATIONS}}},
    "Infer": {"transforms": [*OPERATIONS, {"ToCHWImage": None}], "PostProcess": {"name": "Topk", "topk": 5}},
}
MINDCV = {"model": "xception", "num_classes": 11, "image_resize": 224, "crop_pct": 0.875, "epoch_size": 200}
TIMM = {"model": "xception41", "gp": None, "num_classes": 11, "img_size": None, "drop": 0.0, "lr": 0.1}


def paddle_file(folder: Path, *configs: dict[str, Any], names: tuple[str, ...] = ("Xception41.yaml",)) -> Path:
    file = folder / "best_model.pdparams"
    file.write_bytes(pickle.dumps(drawn("ppcls_xception41"), 4))
    for name, config in zip(names, configs, strict=True):
        (folder / name).write_text(yaml.safe_dump(config, sort_keys=False))
    return file


def changed(config: dict[str, Any], *keys: Any, **values: Any) -> dict[str, Any]:
    """The configuration with other values at the place to which the keys lead."""
    found = deepcopy(config)
    part: Any = found
    for key in keys:
        part = part[key]
    part.update(values)
    return found
