"""Compare the preparation of images with the sources' own libraries: `python -m parity.preprocess --help`.

Each library runs in a process and an environment of its own, on images of noise in odd sizes; the preprocessing here
has to repeat its 8-bit pixels bit for bit, and its normalisation within float32's rounding. What the libraries gave
is kept for the tests, and shown in `docs/reference/preprocessing.md`.
"""

import argparse
import hashlib
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec
import numpy as np
from PIL import Image

from parity.environments import python_of
from parity.libraries.command import noise, ramp
from xception.convert.catalog import CATALOG
from xception.preprocess import CenterCrop, CropSquash, Preprocess, ShorterSide, Squash

ROOT = Path(__file__).parent.parent
GOLDEN = ROOT / "tests" / "goldens" / "preprocess.json"
PAGE = ROOT / "docs" / "reference" / "preprocessing.md"

RAMP_STEP = 15
"""One in so many of the 256 values that are compared is kept."""

FRACTION_TOLERANCE = 0.03
"""Grey levels, where they are not rounded: the libraries compute the filters' weights in float32."""

FRACTIONS_KEPT = 16
"""Values of every image that are kept where they are not rounded; of whole ones a digest is."""

NORMALIZE_TOLERANCE = 1e-6
"""Absolute, of values up to 2.7: the libraries divide, subtract and multiply in different orders in float32."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One preprocessing and the library that it is compared with."""

    library: str
    environment: str
    preprocess: Preprocess


TIMM = {"library": "timm", "environment": "timm"}
MINDSPORE = {"library": "mindspore", "environment": "mindspore"}
PADDLE = {"library": "paddleclas", "environment": "paddle"}
OPENCV = {"library": "opencv", "environment": "opencv"}
KERAS_HUB = {"library": "keras_hub", "environment": "keras_models"}
ZEROMODELS = {"library": "zeromodels", "environment": "keras_models"}

PUBLISHED = {
    "timm_xception.tf_in1k": TIMM,
    "timm_xception41.tf_in1k": TIMM,
    "timm_xception65.ra3_in1k": TIMM,
    "gluon_xception65.gluon_in1k": TIMM,
    "ppcls_xception41.ppcls_in1k": PADDLE,
    "mindcv_xception.in1k_299": MINDSPORE,
    "mindcv_xception.in1k_224": MINDSPORE,
    "mindspore_xception.ascend_in1k": MINDSPORE,
    "mini_xception.fer2013": OPENCV,
    "mini48_xception.fer2013": OPENCV,
    "keras_xception.kerashub": KERAS_HUB,
    "timm_xception41.zeromodels_tf_in1k": ZEROMODELS,
}
"""One weights entry for each preprocessing in the catalog."""

BILINEAR_CV = Preprocess(interpolation="bilinear", antialias=False)


def _small(preprocess: Preprocess, px: int, crop_px: int, **rules: Any) -> Preprocess:
    offset = rules.pop("offset", "round")
    crop = CenterCrop(width_px=crop_px, height_px=crop_px, offset=offset)
    return msgspec.structs.replace(preprocess, resize=ShorterSide(px=px, **rules), crop=crop)


CASES: Mapping[str, Case] = MappingProxyType(
    {name: Case(preprocess=CATALOG[name].preprocess, **library) for name, library in PUBLISHED.items()}
    | {
        "bilinear with antialias": Case(preprocess=_small(Preprocess(interpolation="bilinear"), 91, 80), **TIMM),
        "nearest": Case(preprocess=_small(Preprocess(interpolation="nearest"), 91, 80), **TIMM),
        "crop beyond the image, torchvision": Case(preprocess=_small(Preprocess(), 37, 64), **TIMM),
        "crop beyond the image, MindSpore": Case(preprocess=_small(BILINEAR_CV, 37, 64, offset="floor"), **MINDSPORE),
        "long side rounded at another size": Case(
            preprocess=_small(BILINEAR_CV, 333, 299, offset="floor", long_side="round"), **PADDLE
        ),
        "not square, KerasHub": Case(
            preprocess=msgspec.structs.replace(
                CATALOG["keras_xception.kerashub"].preprocess, resize=CropSquash(width_px=160, height_px=96)
            ),
            **KERAS_HUB,
        ),
        "squash and crop at (12, 12), VastAI": Case(
            preprocess=msgspec.structs.replace(
                BILINEAR_CV,
                resize=Squash(width_px=324, height_px=324),
                crop=CenterCrop(width_px=299, height_px=299),
            ),
            **OPENCV,
        ),
    }
)

SIZES = (
    *((1, 1), (1, 2), (2, 1), (1, 9), (9, 1), (3, 5), (5, 3), (10, 15), (13, 17), (22, 297), (62, 61), (61, 97)),
    *((101, 640), (640, 101), (298, 299), (299, 298), (299, 299), (300, 301), (318, 317), (320, 320), (321, 487)),
    *((487, 321), (331, 333), (333, 500), (384, 511), (511, 384), (500, 375), (375, 500), (1201, 803)),
)
"""(width, height): one pixel, slivers, smaller than any crop, each rule's own size and its neighbours, large."""


def main() -> int:
    """Exit status 0 if every library that was run agrees, else 1."""
    arguments = _arguments()
    theirs: dict[str, np.ndarray] = {}
    kept = json.loads(GOLDEN.read_text())
    versions: dict[str, dict[str, str]] = kept["versions"]
    cases = {name: case for name, case in CASES.items() if not arguments.only or case.library in arguments.only}
    for library in dict.fromkeys(case.library for case in cases.values()):
        arrays = _run(library, arguments)
        versions[library] = json.loads(str(arrays.pop("versions")))
        theirs |= arrays
    differences = {name: _differences(name, case, theirs) for name, case in cases.items()}
    for name, (unequal, largest) in differences.items():
        print(f"{name}: {len(unequal)} of {len(SIZES)} sizes differ {unequal}, normalised {largest:.1e}")
    found = {name: _kept(name, case, theirs) for name, case in cases.items()}
    document = {"versions": versions, "cases": {name: found.get(name) or kept["cases"][name] for name in CASES}}
    GOLDEN.write_text(_with_rows_on_one_line(json.dumps(document, indent=1)) + "\n")
    if not arguments.only:
        PAGE.write_text(PAGE.read_text().partition(BEGIN)[0] + _page(differences, versions))
    return int(any(unequal or largest > NORMALIZE_TOLERANCE for unequal, largest in differences.values()))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m parity.preprocess", description=__doc__)
    parser.add_argument("--paddleclas", type=Path, metavar="DIR", help="a checkout of PaddleClas")
    parser.add_argument("--only", nargs="+", metavar="LIBRARY", help="only these; writes no table")
    parser.add_argument("--environments", type=Path, default=ROOT / ".parity", metavar="DIR")
    arguments = parser.parse_args()
    if arguments.paddleclas is None and (not arguments.only or PADDLE["library"] in arguments.only):
        parser.error("--paddleclas is needed for PaddleClas' library")
    return arguments


def _run(library: str, arguments: argparse.Namespace) -> dict[str, np.ndarray]:
    """What a library makes of the images of all its cases."""
    cases = {name: case for name, case in CASES.items() if case.library == library}
    job = {name: {"preprocess": msgspec.to_builtins(case.preprocess), "sizes": SIZES} for name, case in cases.items()}
    environment = next(iter(cases.values())).environment
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "theirs.npz"
        command = [python_of(environment, arguments.environments), "-m", f"parity.libraries.{library}", out]
        command += [arguments.paddleclas.resolve()] if library == PADDLE["library"] else []
        subprocess.run(list(map(str, command)), input=json.dumps(job), text=True, check=True, cwd=ROOT)
        with np.load(out) as arrays:
            return dict(arrays)


def _differences(name: str, case: Case, theirs: Mapping[str, np.ndarray]) -> tuple[list[str], float]:
    """The sizes whose 8-bit pixels differ, and the largest difference of a normalised value."""
    unequal = [
        f"{width}x{height}"
        for width, height in SIZES
        if not _is_equal(levels(case.preprocess, width, height), theirs[f"{name}/{width}x{height}"])
    ]
    return unequal, float(np.abs(normalized_ramp(case.preprocess) - theirs[f"{name}/ramp"]).max())


def _is_equal(ours: np.ndarray, theirs: np.ndarray) -> bool:
    if ours.dtype == np.uint8:
        return np.array_equal(ours, theirs)
    return ours.shape == theirs.shape and bool(np.abs(ours - theirs).max() <= FRACTION_TOLERANCE)


def levels(preprocess: Preprocess, width: int, height: int) -> np.ndarray:
    """The noise of that size after resize and crop here, (H, W, C)."""
    pixels = noise(width, height, preprocess.channels)
    image = Image.fromarray(pixels[:, :, 0] if preprocess.channels == 1 else pixels)
    return np.ascontiguousarray(preprocess.resized(image).transpose(1, 2, 0))


def normalized_ramp(preprocess: Preprocess) -> np.ndarray:
    """What every 8-bit value becomes here, (C, 256)."""
    return preprocess.normalize(ramp(preprocess.channels).transpose(2, 0, 1))[:, 0]


def sampled(pixels: np.ndarray) -> list[float]:
    """Some values of an image, evenly spread."""
    places = np.linspace(0, pixels.size - 1, FRACTIONS_KEPT).astype(int)
    return [round(float(value), 2) for value in pixels.reshape(-1)[places]]


def digest(pixels: np.ndarray) -> str:
    """Identity of an image, its shape included."""
    return hashlib.sha256(repr(pixels.shape).encode() + np.ascontiguousarray(pixels).tobytes()).hexdigest()[:16]


def _kept(name: str, case: Case, theirs: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """What the tests compare with."""
    images = {f"{w}x{h}": theirs[f"{name}/{w}x{h}"] for w, h in SIZES}
    kept: dict[str, Any] = {size: digest(image) for size, image in images.items()}
    if case.preprocess.fractions:
        kept = {size: sampled(image) for size, image in images.items()}
    return {
        "library": case.library,
        "preprocess": msgspec.to_builtins(case.preprocess),
        "levels" if case.preprocess.fractions else "digests": kept,
        "ramp": [[float(str(value)) for value in row[::RAMP_STEP]] for row in theirs[f"{name}/ramp"]],
    }


def _with_rows_on_one_line(text: str) -> str:
    return re.sub(r"\[[^\[\]]*\]", lambda row: " ".join(row[0].split()), text)


BEGIN = "## Compared with the sources' libraries\n"
"""From here to its end the page is written; what stands before it is kept."""

HEAD = f"""{BEGIN}
This part is written by `python -m parity.preprocess`; do not edit it.
Each preprocessing in the catalog is compared with the library that its source calls.
So are rules that matter only at the edges of an image.
The images are noise in {len(SIZES)} sizes from 1x1 to {SIZES[-1][0]}x{SIZES[-1][1]} px.
The values after resize and crop must be equal bit for bit.
Values that are not rounded to 8 bits may differ by {FRACTION_TOLERANCE} grey levels.
Normalised values may differ by float32's rounding, since the libraries compute in different orders.

"""


def _page(differences: Mapping[str, tuple[list[str], float]], versions: Mapping[str, Mapping[str, str]]) -> str:
    rows = [("preprocessing", "library", "pixels equal", "normalised, largest difference")]
    rows += [("---",) * 4]
    for name, (unequal, largest) in differences.items():
        equal = f"{len(SIZES) - len(unequal)} of {len(SIZES)}"
        shown = f"`{name}`" if name in CATALOG else name
        rows.append((shown, CASES[name].library, equal, f"{largest:.1e}" if largest else "0"))
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in rows)
    lines = [
        f"- {library}: {', '.join(f'{package} {number}' for package, number in packages.items())}"
        for library, packages in versions.items()
    ]
    return f"{HEAD}{table}\n\n### Versions\n\n" + "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
