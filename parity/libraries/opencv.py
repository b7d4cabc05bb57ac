"""OpenCV, in the environment `opencv.txt`: what face_classification and VastAI's BILINEAR_CV call."""

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np

from parity.libraries.command import Eightbit, Normalize, main


def steps(preprocess: Mapping[str, Any]) -> tuple[Eightbit, Normalize]:
    resize, crop = preprocess["resize"], preprocess["crop"]

    def eight_bit(image: np.ndarray) -> np.ndarray:
        image = cv2.resize(image, (resize["width_px"], resize["height_px"]))
        image = image if image.ndim == 3 else image[:, :, None]
        if not crop:
            return image
        left, top = CORNER
        return image[top : top + crop["height_px"], left : left + crop["width_px"]]

    def normalize(image: np.ndarray) -> np.ndarray:
        # As face_classification's `preprocess_input` writes it; its mean and deviation are 0.5, as VastAI's are.
        return ((image.astype("float32") / 255.0 - 0.5) * 2.0).transpose(2, 0, 1)

    return eight_bit, normalize


CORNER = (12, 12)
"""CropX and CropY in VastAI's files for this family: 324 px squashed, 299 px of them kept."""

if __name__ == "__main__":
    main(steps, "opencv-python-headless")
