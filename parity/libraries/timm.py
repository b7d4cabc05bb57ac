"""timm's evaluation by way of torchvision, in the environment `timm.txt`."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image
from timm.data import create_transform
from torchvision import transforms
from torchvision.transforms import InterpolationMode

from parity.libraries.command import Eightbit, Normalize, main

CROP_PCT = {333: 0.8975, 331: 0.903, 318: 0.94}
"""By the size that timm computes from it for 299 px; other sizes go to torchvision directly."""


def steps(preprocess: Mapping[str, Any]) -> tuple[Eightbit, Normalize]:
    px, crop = preprocess["resize"]["px"], preprocess["crop"]
    mean, std, interpolation = preprocess["mean"], preprocess["std"], preprocess["interpolation"]
    if px in CROP_PCT:
        whole = create_transform(
            (3, crop["height_px"], crop["width_px"]),
            crop_pct=CROP_PCT[px],
            interpolation=interpolation,
            mean=mean,
            std=std,
        )
        resize, center_crop = whole.transforms[:2]
    else:
        resize = transforms.Resize(px, InterpolationMode(interpolation))
        center_crop = transforms.CenterCrop((crop["height_px"], crop["width_px"]))
    to_tensor, normalize = transforms.ToTensor(), transforms.Normalize(mean, std)
    return (
        lambda image: np.asarray(center_crop(resize(Image.fromarray(image)))),
        lambda image: normalize(to_tensor(image)).numpy(),
    )


if __name__ == "__main__":
    main(steps, "timm", "torchvision", "torch", "pillow")
