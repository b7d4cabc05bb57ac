"""MindSpore's operators as its zoo's Xception calls them, and as MindCV does, in the environment `mindspore.txt`."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from mindcv.data import create_transforms
from mindspore.dataset import vision

from parity.libraries.command import Eightbit, Normalize, main

CROP_PCT = {(341, 299): 0.875, (256, 224): 0.875}
"""By the sizes that MindCV computes from it; the zoo's are written in its code."""


def steps(preprocess: Mapping[str, Any]) -> tuple[Eightbit, Normalize]:
    px, crop_px = preprocess["resize"]["px"], preprocess["crop"]["width_px"]
    mean, std = ([value * 255 for value in preprocess[name]] for name in ("mean", "std"))
    if (px, crop_px) in CROP_PCT:
        _, resize, center_crop, normalize, *_ = create_transforms(
            is_training=False,
            image_resize=crop_px,
            crop_pct=CROP_PCT[px, crop_px],
            interpolation="bilinear",
            mean=mean,
            std=std,
        )
    else:
        resize, center_crop, normalize = vision.Resize(px), vision.CenterCrop(crop_px), vision.Normalize(mean, std)
    return (
        lambda image: np.asarray(center_crop(resize(image))),
        lambda image: np.asarray(normalize(image)).transpose(2, 0, 1),
    )


if __name__ == "__main__":
    main(steps, "mindspore", "mindcv")
