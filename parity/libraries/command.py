"""The common part of all libraries' scripts: the images, the steps to take, and the file that they write.

Standard input is a JSON object of cases by name, each with its `preprocess` and the `sizes` (width, height) of its
images.
"""

import json
import platform
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any

import numpy as np

Array = np.ndarray
Eightbit = Callable[[Array], Array]
"""(H, W, C) 8-bit to the same after resize and crop, or to float32 where fractions are kept."""
Normalize = Callable[[Array], Array]
"""(H, W, C) 8-bit to what the library feeds a network, (C, H, W)."""


def noise(width: int, height: int, channels: int = 3) -> Array:
    """The image of that size, (H, W, C) 8-bit: noise, on which any two resamplings differ."""
    rng = np.random.Generator(np.random.PCG64([width, height, channels]))
    return rng.integers(0, 256, (height, width, channels), np.uint8)


def ramp(channels: int) -> Array:
    """Every 8-bit value in every channel, (1, 256, C)."""
    return np.arange(256, dtype=np.uint8)[None, :, None].repeat(channels, 2)


def main(steps: Callable[[Mapping[str, Any]], tuple[Eightbit, Normalize]], *packages: str) -> None:
    results = {}
    for name, case in json.load(sys.stdin).items():
        channels = len(case["preprocess"]["mean"])
        eight_bit, normalize = steps(case["preprocess"])
        results[f"{name}/ramp"] = np.asarray(normalize(ramp(channels)), np.float32)[:, 0]
        for width, height in case["sizes"]:
            dtype = np.float32 if case["preprocess"].get("fractions") else np.uint8
            results[f"{name}/{width}x{height}"] = np.asarray(eight_bit(noise(width, height, channels)), dtype)
    versions = {package: version(package) for package in (*packages, "numpy")} | {"python": platform.python_version()}
    np.savez(sys.argv[1], versions=json.dumps(versions), **results)  # type: ignore[arg-type]
