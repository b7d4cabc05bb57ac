"""Images for trying a model without data."""

import numpy as np
from numpy.typing import NDArray

SEED = 0


def probe_images(count: int, channels: int, height: int, width: int) -> NDArray[np.uint8]:
    """Black, white, middle gray and random noise from fine to coarse, some of it without colour; always the same.

    Returns:
        (count, channels, height, width), 8 bits each.
    """
    rng = np.random.Generator(np.random.PCG64(SEED))
    images = np.zeros((count, channels, height, width), np.uint8)
    images[1:2] = 255
    for index in range(2, count):
        cell = 2 ** (index % 6)
        coarse = rng.integers(0, 256, (channels, -(-height // cell), -(-width // cell)), np.uint8)
        images[index] = coarse.repeat(cell, 1).repeat(cell, 2)[:, :height, :width]
    images[4:5] = 128
    images[6:7] = images[6:7, :1]
    return images
