"""The configuration of VastAI's compiler `vamc`, a YAML file."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from xception import inputs
from xception.errors import InputError, UsageError
from xception.extras import require
from xception.preprocess import CenterCrop, Preprocess, Squash

VamcConfig = Mapping[str, object]

CalibrateMode = Literal["max", "percentile", "kl_divergence", "mse"]
"""Methods by which the compiler chooses ranges of activations."""


def nearest_calibrate_mode(method: str) -> CalibrateMode:
    """The compiler's way that is nearest to a method of `xception quantize`."""
    if method == "entropy":
        return "kl_divergence"
    if method == "mse":
        return "mse"
    return "percentile" if method.startswith("percentile") else "max"


@dataclass(frozen=True, kw_only=True)
class VamcBuild:
    """One run of the compiler on one network."""

    preprocess: Preprocess
    """The preprocessing of calibration images: a squash with a crop, as `vdsp.expressible` makes it."""
    name: str
    """Name of the compiled model."""
    checkpoint: str
    """Path of the network's file."""
    frontend: Literal["onnx", "keras", "pytorch"] = "onnx"
    """Format of this file."""
    input_name: str = "input"
    dtype: Literal["int8", "fp16"] = "int8"
    """Number type of the compiled model."""
    calibrate_mode: CalibrateMode = "max"
    """Method by which ranges are chosen."""
    calibration: str
    """Path of the calibration images."""
    images: int
    """Number of calibration images that are taken."""
    suffix: str = "JPEG"
    """Suffix of the calibration images' files."""
    softmax: bool = True
    """The compiled model gives probabilities instead of logits."""


def vamc_config(build: VamcBuild) -> VamcConfig:
    """The configuration, with the keys in the compiler's order.

    Raises:
        UsageError: a preprocessing of another kind.
    """
    preprocess, resize, crop = build.preprocess, build.preprocess.resize, build.preprocess.crop
    if not isinstance(resize, Squash) or not isinstance(crop, CenterCrop):
        raise UsageError("vamc resizes to a fixed size and crops; expected a squash and a crop")
    extra = {"graph": {"extra_ops": {"type": "softmax"}}} if build.softmax else {}
    return {
        "name": build.name,
        "frontend": {
            "shape": {build.input_name: [1, preprocess.channels, crop.height_px, crop.width_px]},
            "type": build.frontend,
            "checkpoint": build.checkpoint,
            "dtype": "fp32",
        },
        "backend": {
            "type": "tvm_vacc",
            "dtype": build.dtype,
            "compile": {"cluster_mode": 0},
            "quantize": {"calibrate_mode": build.calibrate_mode, "quantize_per_channel": True},
        },
        **extra,
        "dataset": {
            "type": "tvm",
            "path": build.calibration,
            "sampler": {"suffix": build.suffix, "get_data_num": build.images},
            "process_ops": _operations(preprocess, resize, crop),
        },
        "workspace": {"path": "./deploy_weights/"},
    }


def _operations(preprocess: Preprocess, resize: Squash, crop: CenterCrop) -> list[dict[str, object]]:
    normalize: dict[str, object] = {"type": "Normalize"}
    if preprocess.divisor != 255:
        normalize["div255"] = False
    scale = 1.0 if preprocess.divisor == 255 else preprocess.divisor
    normalize["mean"] = [value * scale for value in preprocess.mean]
    normalize["std"] = [value * scale for value in preprocess.std]
    return [
        {"type": "DecodeImage"},
        {"type": "Resize", "size": [resize.height_px, resize.width_px]},
        {"type": "CenterCrop", "crop_size": [crop.height_px, crop.width_px]},
        normalize,
        {"type": "ToTensor"},
    ]


def write_config(file: Path, config: VamcConfig) -> None:
    """Write a configuration as YAML, in block style.

    Raises:
        MissingExtra: PyYAML is not installed.
    """
    text = require("yaml", "vendors").safe_dump(dict(config), sort_keys=False, allow_unicode=True)
    file.write_text(text, encoding="utf-8")


def read_config(file: Path) -> VamcConfig:
    """A configuration from its YAML file.

    Raises:
        MissingExtra: PyYAML is not installed.
        InputError: it is no such file.
    """
    yaml = require("yaml", "vendors")
    try:
        config = yaml.safe_load(inputs.read_utf8(file, inputs.DOCUMENT_LIMIT))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise InputError(f"{file} is no YAML file: {error}") from error
    if not isinstance(config, dict) or not isinstance(config.get("dataset"), dict):
        raise InputError(f"{file} is no configuration of vamc: it has no dataset")
    return config


def vamc_preprocess(config: VamcConfig) -> Preprocess:
    """The preprocessing of a configuration's calibration images.

    Raises:
        InputError: it does not say so in full.
    """
    try:
        dataset = config["dataset"]
        operations = {row["type"]: row for row in dataset["process_ops"]}  # type: ignore[index]
        normalize = operations["Normalize"]
        height, width = operations["Resize"]["size"]
        crop_height, crop_width = operations["CenterCrop"]["crop_size"]
        return Preprocess(
            resize=Squash(width_px=int(width), height_px=int(height)),
            interpolation="bilinear",
            antialias=False,
            crop=CenterCrop(width_px=int(crop_width), height_px=int(crop_height), offset="floor"),
            divisor=255.0 if normalize.get("div255", True) else 1.0,
            mean=tuple(map(float, normalize["mean"])),
            std=tuple(map(float, normalize["std"])),
        )
    except (KeyError, TypeError, ValueError, AttributeError, UsageError) as error:
        raise InputError(
            f"the configuration does not say how it makes the network's input ({error}); "
            "expected the operations Resize, CenterCrop and Normalize"
        ) from error
