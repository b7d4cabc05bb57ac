"""zeromodels' processor of images, in the environment `keras_models.txt`."""

from collections.abc import Mapping
from typing import Any

from PIL import Image
from zeromodels.models.xception import XceptionImageProcessor

from parity.libraries.command import Eightbit, Normalize, main


def steps(preprocess: Mapping[str, Any]) -> tuple[Eightbit, Normalize]:
    size = {"height": preprocess["resize"]["height_px"], "width": preprocess["resize"]["width_px"]}
    resize = XceptionImageProcessor(size=size, do_rescale=False, do_normalize=False, return_tensor=False)
    normalize = XceptionImageProcessor(do_resize=False, return_tensor=False)
    return (
        lambda image: resize(Image.fromarray(image))[0],
        lambda image: normalize(Image.fromarray(image))[0].transpose(2, 0, 1),
    )


if __name__ == "__main__":
    main(steps, "zeromodels", "keras", "tensorflow")
