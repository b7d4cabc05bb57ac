"""The programs of docs/how-to/coreml.md: what the package announces, and that the proof accepts the model and no other.

Torch stands in Core ML's place, which only macOS has. PACKAGE_PYTHON is the interpreter of the package's environment.
"""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import coremltools
import numpy as np
import pytest
import torch
from PIL import Image

ROOT = Path(__file__).parents[2]
PYTHON = os.environ.get("PACKAGE_PYTHON", str(ROOT / ".venv/bin/python"))
PAGE = (ROOT / "docs/how-to/coreml.md").read_text(encoding="utf-8")
CONVERT, PROVE = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
COLORS = {"gray": 10, "rgb": 20, "bgr": 30}
"""Core ML's numbers of colour spaces."""
LABELS = {
    "gray": ["nothing", "something", "all"],
    "rgb": ["red", "green", "blue"],
    "bgr": ["crane (0)", "heron", "crane (2)"],
}


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles")
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    subprocess.run([PYTHON, "-m", "tests.coreml.make_bundles", str(folder)], env=environment, check=True)
    return folder


@pytest.fixture(scope="module", params=COLORS)
def converted(request: pytest.FixtureRequest, bundles: Path) -> tuple[str, dict[str, Any]]:
    """The case, and what the first program leaves: its names, and the package in the case's folder."""
    names: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(bundles / request.param)
        exec(compile(CONVERT, "convert.py", "exec"), names)
    return request.param, names


def test_the_package_announces_an_image_of_the_bundles_size_and_its_classes(
    converted: tuple[str, dict[str, Any]], bundles: Path
) -> None:
    case, _ = converted
    spec = coremltools.models.MLModel(str(bundles / case / "digits.mlpackage"), skip_model_load=True).get_spec()
    (taken,) = spec.description.input
    image = taken.type.imageType
    assert (taken.name, image.width, image.height, image.colorSpace) == ("image", 40, 40, COLORS[case])
    assert {output.name for output in spec.description.output} == {"classLabel", "classLabel_probs"}
    (block,) = spec.mlProgram.functions["main"].block_specializations.values()
    (classify,) = [operation for operation in block.operations if operation.type == "classify"]
    listed = classify.inputs["classes"].arguments[0].value.immediateValue.list.values
    classes = [value.immediateValue.tensor.strings.values[0] for value in listed]
    assert classes == LABELS[case]


def stand_in(names: dict[str, Any], share: float = 1.0) -> type:
    """A package that torch runs, on levels that were multiplied by `share`."""

    class Package:
        def __init__(self, path: str, compute_units: object) -> None:
            assert Path(path).is_dir()

        def predict(self, inputs: dict[str, Image.Image]) -> dict[str, dict[str, float]]:
            pixels = share * np.asarray(inputs["image"], np.float32)
            planes = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
            planes = planes[::-1] if names["how"]["color"] == "bgr" else planes
            with torch.no_grad():
                found = names["network"](torch.from_numpy(planes[None].copy()))[0].tolist()
            return {"classLabel_probs": dict(zip(names["labels"], found, strict=True))}

    return Package


def prove(folder: Path, package: type, patch: pytest.MonkeyPatch) -> None:
    patch.chdir(folder)
    patch.setattr("coremltools.models.MLModel", package)
    exec(compile(PROVE, "prove.py", "exec"), {})


def test_the_proof_accepts_the_model(
    converted: tuple[str, dict[str, Any]], bundles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case, names = converted
    prove(bundles / case, stand_in(names), monkeypatch)


def test_the_proof_refuses_a_package_that_sees_darker_images(
    converted: tuple[str, dict[str, Any]], bundles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case, names = converted
    with pytest.raises(SystemExit, match="is not the model"):
        prove(bundles / case, stand_in(names, 0.9), monkeypatch)
