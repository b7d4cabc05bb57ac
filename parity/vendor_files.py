"""Compare the compiler files that are made here with those of VastModelZOO: `python -m parity.vendor_files DIR`.

For each of the zoo's files of this family, the same settings are given to our writers, and both files are compared as
data. The differences that remain are printed; none is expected.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import msgspec
import yaml

from xception.interchange import vamc, vdsp
from xception.preprocess import CenterCrop, Preprocess, Squash

FAMILY = "cv/classification/xception/build_in"

SQUASHED = Preprocess(
    resize=Squash(width_px=324, height_px=324),
    interpolation="bilinear",
    antialias=False,
    crop=CenterCrop(width_px=299, height_px=299, offset="floor"),
)
IMAGENET = msgspec.structs.replace(SQUASHED, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
CAFFE = msgspec.structs.replace(SQUASHED, divisor=1.0, mean=(103.939, 116.779, 123.68), std=(1.0, 1.0, 1.0))

NORMALIZATIONS = {"timm": SQUASHED, "ppcls": IMAGENET, "keras": IMAGENET}
CALIBRATION = "/path/to/cls/ImageNet/ILSVRC2012_img_calib"

BUILDS = {
    "timm_xception": vamc.vamc_config(
        vamc.VamcBuild(
            preprocess=SQUASHED,
            name="timm_xception_int8",
            checkpoint="/path/to/xception.onnx",
            calibration=CALIBRATION,
            images=50,
        )
    ),
    "ppcls_xception": vamc.vamc_config(
        vamc.VamcBuild(
            preprocess=IMAGENET,
            name="ppcls_xception_int8",
            checkpoint="/path/to/xception41.onnx",
            calibration=CALIBRATION,
            images=50,
        )
    ),
    "keras_xception": vamc.vamc_config(
        vamc.VamcBuild(
            preprocess=CAFFE,
            name="keras_xception_int8",
            checkpoint="/path/to/xception.h5",
            frontend="keras",
            input_name="input_1",
            calibrate_mode="percentile",
            calibration=CALIBRATION,
            images=50,
            softmax=False,
        )
    ),
}


def main() -> int:
    """Exit status 0 if all files are equal."""
    parser = argparse.ArgumentParser(prog="python -m parity.vendor_files", description=__doc__)
    parser.add_argument("checkout", type=Path, help="a checkout of Vastai/VastModelZOO")
    root = parser.parse_args().checkout / FAMILY
    verdicts = {path: _same_params(path) for path in sorted((root / "vdsp_params").glob("*.json"))}
    verdicts |= {path: _same_build(path) for path in sorted((root / "build").glob("*.yaml"))}
    for path, same in verdicts.items():
        print(f"{'equal' if same else 'DIFFERENT':9} {path.relative_to(root)}")
    return 0 if verdicts and all(verdicts.values()) else 1


def _same_params(path: Path) -> bool:
    preprocess = CAFFE if path.stem.endswith("_back") else NORMALIZATIONS[path.name.partition("-")[0]]
    with tempfile.TemporaryDirectory() as folder:
        ours = Path(folder) / "ours.json"
        vdsp.write_params(ours, vdsp.params_of(preprocess))
        return bool(json.loads(ours.read_bytes()) == json.loads(path.read_bytes()))


def _same_build(path: Path) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        ours = Path(folder) / "ours.yaml"
        vamc.write_config(ours, BUILDS[path.stem])
        return bool(yaml.safe_load(ours.read_bytes()) == yaml.safe_load(path.read_bytes()))


if __name__ == "__main__":
    sys.exit(main())
