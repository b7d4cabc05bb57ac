"""Compare the orientation of photographs with the sources' own loaders: `python -m parity.orientation`.

A photograph is stored in the eight ways that EXIF knows. Each loader gives it as it is stored or turned upright, and
the preprocessing in the catalog has to say which. The result is kept for the tests.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

from parity.environments import python_of
from parity.libraries.loaders import LOADERS
from xception.data.decode import decode
from xception.preprocess import Orientation

ROOT = Path(__file__).parent.parent
GOLDEN = ROOT / "tests" / "goldens" / "orientation.json"
ORIENTATIONS: tuple[Orientation, Orientation] = ("stored", "upright")
BLOCK_PX = 8

ENVIRONMENTS = {
    "timm": "timm",
    "torchvision": "timm",
    "keras": "keras_models",
    "tensorflow": "keras_models",
    "opencv": "opencv",
    "mindspore": "mindspore",
}
"""Environment of each loader."""


def photograph(orientation: int) -> Image.Image:
    """Gray blocks as large as those of JPEG, which every decoder gives to the bit."""
    levels = np.random.default_rng(0).integers(0, 256, (4, 6), np.uint8)
    image = Image.fromarray(np.kron(levels, np.ones((BLOCK_PX, BLOCK_PX), np.uint8))).convert("RGB")
    image.getexif()[ExifTags.Base.Orientation] = orientation
    return image


def write_photographs(folder: Path) -> list[Path]:
    """The photograph in all eight ways."""
    files = [folder / f"{orientation}.jpg" for orientation in range(1, 9)]
    for orientation, file in enumerate(files, 1):
        image = photograph(orientation)
        image.save(file, quality=100, subsampling=0, exif=image.getexif())
    return files


def main() -> int:
    """Exit status 0 if every loader that was run gives the same pixels as one of the two ways here, else 1."""
    parser = argparse.ArgumentParser(prog="python -m parity.orientation", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=LOADERS, default=list(LOADERS), metavar="LOADER")
    parser.add_argument(
        "--python", metavar="FILE", help="an interpreter that has the loaders, with PYTHONPATH as it is"
    )
    parser.add_argument("--environments", type=Path, default=ROOT / ".parity", metavar="DIR")
    arguments = parser.parse_args()
    kept = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
    for loader in arguments.only:
        python = arguments.python or python_of(ENVIRONMENTS[loader], arguments.environments)
        kept[loader] = _row(loader, Path(python))
        print(loader, kept[loader])
    GOLDEN.write_text(json.dumps(dict(sorted(kept.items())), indent=1) + "\n")
    return int(any(kept[loader]["orientation"] is None for loader in arguments.only))


def _row(loader: str, python: Path) -> dict[str, object]:
    """The orientation of all eight files that a loader gives, None where it is neither, and its version."""
    with tempfile.TemporaryDirectory() as folder:
        files, out = write_photographs(Path(folder)), Path(folder) / "theirs.npz"
        command = [python, "-m", "parity.libraries.loaders", loader, out, *files]
        subprocess.run(list(map(str, command)), check=True, cwd=ROOT)
        with np.load(out) as theirs:
            found = [
                way
                for way in ORIENTATIONS
                if all(np.array_equal(_ours(file, way), theirs[file.name]) for file in files)
            ]
            return {"orientation": found[0] if len(found) == 1 else None, **json.loads(str(theirs["versions"]))}


def _ours(file: Path, way: Orientation) -> np.ndarray:
    return np.asarray(decode(file.read_bytes(), orientation=way).convert("RGB"))


if __name__ == "__main__":
    sys.exit(main())
