"""PaddleClas' operators, from a checkout, in the environment `paddle.txt`."""

import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from parity.checkout import declare_packages
from parity.libraries.command import Eightbit, Normalize, main

PACKAGE = "ppcls.data.preprocess.ops"


def steps(preprocess: Mapping[str, Any]) -> tuple[Eightbit, Normalize]:
    operators = _operators()
    resize = operators.ResizeImage(resize_short=preprocess["resize"]["px"])
    crop = operators.CropImage(size=preprocess["crop"]["width_px"])
    normalize = operators.NormalizeImage(scale="1.0/255.0", mean=preprocess["mean"], std=preprocess["std"], order="")
    return (lambda image: crop(resize(image))), (lambda image: normalize(image).transpose(2, 0, 1))


def _operators() -> ModuleType:
    declare_packages(Path(sys.argv[2]), "ppcls", "ppcls.utils", "ppcls.data", "ppcls.data.preprocess", PACKAGE)
    logger = ModuleType("ppcls.utils.logger")
    sys.modules[logger.__name__] = logger
    sys.modules["ppcls.utils"].logger = logger  # type: ignore[attr-defined]
    return import_module(f"{PACKAGE}.operators")


if __name__ == "__main__":
    main(steps, "paddlepaddle", "opencv-python-headless")
