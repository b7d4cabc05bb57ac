"""An image file to the 8-bit pixels that the network is to see, exactly as published or faster."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from xception.data.decode import loaded_image
from xception.preprocess import Preprocess

Mode = Literal["reference", "exact", "fast"]


def pixels(
    loaded: bytes | Image.Image,
    preprocess: Preprocess,
    mode: Mode = "exact",  # noqa: ARG001 - the faster modes may give what the reference gives
) -> NDArray[np.uint8]:
    """What `Item.load` returned as (C, H, W) before normalisation.

    Raises:
        DecodeError: the image cannot be decoded, or its resize makes a sliver larger than memory should hold.
    """
    return preprocess.resized(loaded_image(loaded))
