import json
import shutil
from pathlib import Path

import pytest

from tests.convert.make_samples import SAMPLES
from xception.convert.readers import read_checkpoint
from xception.errors import InputError

CONFIG = {"architecture": "xception41", "num_classes": 1000}


@pytest.mark.parametrize(
    ("sample", "name"), [("torch.safetensors", "model.safetensors"), ("torch_zip.pth", "pytorch_model.bin")]
)
def test_a_model_folder_is_its_weights_and_its_description(sample: str, name: str, tmp_path: Path) -> None:
    shutil.copy(SAMPLES / sample, tmp_path / name)
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    checkpoint = read_checkpoint(tmp_path)
    assert checkpoint.container == "model_folder"
    assert checkpoint.metadata["config"] == CONFIG
    assert (checkpoint.path, checkpoint.file.path) == (tmp_path, tmp_path / name)
    assert checkpoint.config == CONFIG
    assert "conv.weight" in checkpoint.groups[""]


def test_safetensors_are_preferred_because_they_are_checked_more_easily(tmp_path: Path) -> None:
    shutil.copy(SAMPLES / "torch.safetensors", tmp_path / "model.safetensors")
    shutil.copy(SAMPLES / "torch_zip.pth", tmp_path / "pytorch_model.bin")
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    assert read_checkpoint(tmp_path).file.path.name == "model.safetensors"


def test_a_folder_without_a_description_is_refused_with_the_files_in_it(tmp_path: Path) -> None:
    shutil.copy(SAMPLES / "torch.safetensors", tmp_path / "model.safetensors")
    with pytest.raises(
        InputError, match=r"without a description \(config.json\), .*; pass the file: .*model.safetensors$"
    ):
        read_checkpoint(tmp_path)


def test_a_folder_of_nothing_is_refused_with_what_is_expected(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(InputError, match=r"is no bundle and no model folder: expected config.json"):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize(
    "sample",
    ["torch_zip.pth", "torch_legacy.pth", "torch.safetensors", "keras_full.h5", "keras.keras", "mindspore.ckpt"],
)
def test_the_name_of_a_file_does_not_matter(sample: str, tmp_path: Path) -> None:
    shutil.copy(SAMPLES / sample, tmp_path / "misleading.onnx")
    expected, found = read_checkpoint(SAMPLES / sample), read_checkpoint(tmp_path / "misleading.onnx")
    assert found.container == expected.container
    assert list(found.groups[""]) == list(expected.groups[""])
