"""Converting opens, and so reads and hashes, each file of a checkpoint exactly once."""

import json
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.convert.checkpoints import drawn, write_safetensors, write_torch
from tests.convert.make_samples import SAMPLES
from xception.convert.conversion import convert_checkpoint
from xception.convert.readers import read_checkpoint

LISTENERS: list[Counter[str]] = []
"""Counters of the files that this process opens. An audit hook cannot be removed, so it is told whom to tell."""


def _audit(event: str, arguments: tuple[object, ...]) -> None:
    if LISTENERS and event == "open" and isinstance(arguments[0], str | Path):
        for listener in LISTENERS:
            listener[Path(arguments[0]).name] += 1


@pytest.fixture(scope="module", autouse=True)
def audit() -> None:
    sys.addaudithook(_audit)


@pytest.fixture
def opens() -> Iterator[Counter[str]]:
    counter: Counter[str] = Counter()
    LISTENERS.append(counter)
    yield counter
    LISTENERS.remove(counter)


def of_checkpoint(opens: Counter[str], folder: Path) -> dict[str, int]:
    return {path.name: opens[path.name] for path in folder.iterdir()}


@pytest.mark.parametrize("write", [write_safetensors, write_torch])
def test_a_file_is_opened_once(write: Callable[..., Path], tmp_path: Path, opens: Counter[str]) -> None:
    file = write(tmp_path / "weights.bin", drawn("timm_xception41"))
    opens.clear()
    conversion = convert_checkpoint(file)
    assert len(str(conversion.model.lineage[0].settings["sha256"])) == 64
    assert of_checkpoint(opens, tmp_path) == {"weights.bin": 1}


def test_each_file_of_a_model_folder_is_opened_once(tmp_path: Path, opens: Counter[str]) -> None:
    write_safetensors(tmp_path / "model.safetensors", drawn("timm_xception41"))
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "xception41"}))
    opens.clear()
    convert_checkpoint(tmp_path)
    assert of_checkpoint(opens, tmp_path) == {"model.safetensors": 1, "config.json": 1}


def test_index_and_shards_of_a_tensorflow_checkpoint_are_opened_once(tmp_path: Path, opens: Counter[str]) -> None:
    for path in SAMPLES.glob("tensorflow.ckpt-5.*"):
        shutil.copy(path, tmp_path)
    opens.clear()
    checkpoint = read_checkpoint(tmp_path / "tensorflow.ckpt-5")
    assert len(checkpoint.file.checksums["sha256"]) == 64
    assert set(of_checkpoint(opens, tmp_path).values()) == {1}


def test_a_second_opening_would_be_counted(tmp_path: Path, opens: Counter[str]) -> None:
    file = write_safetensors(tmp_path / "weights.bin", drawn("timm_xception41"))
    opens.clear()
    convert_checkpoint(file)
    file.read_bytes()
    assert of_checkpoint(opens, tmp_path) == {"weights.bin": 2}
