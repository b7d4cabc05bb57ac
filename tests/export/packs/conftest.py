"""One pack of each vendor, made once, and copies of them to spoil."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.export.requests import export_to
from tests.support.samples import encoded, picture, write_folder
from xception.bundle import Bundle
from xception.data.sources import open_source
from xception.export.targets import EXPORT_TARGETS

VENDORS = [to for to, target in EXPORT_TARGETS.items() if target.kind == "pack"]


@pytest.fixture(scope="session")
def packs(weights_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Not to be written to."""
    root = tmp_path_factory.mktemp("packs")
    data, calibration = write_folder(root / "photos", 2), write_folder(root / "calibration", 3)
    for number, path in enumerate(sorted(calibration.rglob("*.png"))):
        path.write_bytes(encoded(picture(48, 40, seed=5000 + number)))
    (data / "ant" / "broken.png").write_bytes(b"broken")
    sources = {"calibration": open_source(str(calibration)), "data": open_source(str(data))}
    return {vendor: export_to(weights_bundle, vendor, root / vendor, **sources) for vendor in VENDORS}


Copy = Callable[[str], Path]


@pytest.fixture
def copy(packs: dict[str, Path], tmp_path: Path) -> Copy:
    """A pack's own copy, with the results of a perfect chip in `results` next to it."""

    def made(vendor: str) -> Path:
        pack = Path(shutil.copytree(packs[vendor], tmp_path / vendor))
        results = tmp_path / "results"
        results.mkdir()
        names = json.loads((pack / "pack.json").read_bytes())["inputs"]["names"]
        for index, (name, row) in enumerate(zip(names, np.load(pack / "goldens" / "logits.npy"), strict=True)):
            if vendor == "ascend":
                row.tofile(results / f"{name}_1.bin")
            else:
                np.savez(results / f"output_{index:06d}.npz", output_0=row[None].astype(np.float16))
        return pack

    return made
