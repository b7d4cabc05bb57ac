import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

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


def write_layers(path: Path, **layers: tuple[str | None, Mapping[int, np.ndarray]]) -> None:
    """A `.weights.h5`: by group, the layer's name, if it is told, and variables."""
    with h5py.File(path, "w") as file:
        for group, (name, variables) in layers.items():
            place = file.create_group(f"layers/{group}/vars")
            if name:
                place.attrs["name"] = name
            for index, value in variables.items():
                place[str(index)] = value


KERNEL, BIAS = np.ones((1, 1, 2, 3), np.float32), np.zeros(3, np.float32)


def test_a_preset_of_kerashub_is_its_backbone_with_the_head_of_its_task(tmp_path: Path) -> None:
    described = {"registered_name": "keras_hub>XceptionBackbone"}
    for name in ("config", "task", "preprocessor"):
        (tmp_path / f"{name}.json").write_text(json.dumps(described | {"of": name}))
    write_layers(tmp_path / "model.weights.h5", conv2d=("block1_conv1", {0: KERNEL}))
    write_layers(tmp_path / "task.weights.h5", dense=("predictions", {0: KERNEL[0, 0], 1: BIAS}))
    checkpoint = read_checkpoint(tmp_path)
    assert checkpoint.container == "model_folder"
    assert list(checkpoint.groups[""]) == ["block1_conv1/kernel", "predictions/kernel", "predictions/bias"]
    assert [file.path.name for file in (checkpoint.file, *checkpoint.more_files)] == [
        "model.weights.h5",
        "task.weights.h5",
    ]
    assert {name: checkpoint.metadata[name] for name in ("config", "task", "preprocessor")} == {
        name: described | {"of": name} for name in ("config", "task", "preprocessor")
    }
    for part in ("model", "task"):
        assert read_checkpoint(tmp_path / f"{part}.weights.h5").path == tmp_path


def test_an_unpacked_archive_of_keras_is_read_with_its_description(tmp_path: Path) -> None:
    described = {"class_name": "Functional", "registered_name": None}
    (tmp_path / "config.json").write_text(json.dumps(described))
    write_layers(tmp_path / "model.weights.h5", conv2d=("conv", {0: KERNEL}))
    for path in (tmp_path, tmp_path / "model.weights.h5"):
        found = read_checkpoint(path)
        assert (found.path, found.metadata["model_config"]) == (tmp_path, described)


def test_a_file_of_a_timm_folder_is_read_with_its_description(tmp_path: Path) -> None:
    shutil.copy(SAMPLES / "torch.safetensors", tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    assert read_checkpoint(tmp_path / "model.safetensors").config == CONFIG
    (tmp_path / "config.json").write_text('{"learning_rate": 0.1}')
    assert read_checkpoint(tmp_path / "model.safetensors").path == tmp_path / "model.safetensors"


@pytest.mark.parametrize("description", [None, {}, {"architecture": "xception41"}])
def test_a_file_of_weights_next_to_another_description_is_read_by_itself(description: object, tmp_path: Path) -> None:
    if description is not None:
        (tmp_path / "config.json").write_text(json.dumps(description))
    write_layers(tmp_path / "model.weights.h5", conv2d=("conv", {0: KERNEL}))
    assert read_checkpoint(tmp_path / "model.weights.h5").path == tmp_path / "model.weights.h5"


def test_a_layer_may_be_spread_over_files(tmp_path: Path) -> None:
    (tmp_path / "zm_config.json").write_text("{}")
    names = ["model_00000.weights.h5", "model_00001.weights.h5"]
    (tmp_path / "model.weights.json").write_text(json.dumps({"weight_map": {"/layers/conv2d/vars": names}}))
    write_layers(tmp_path / names[0], conv2d=("conv", {0: KERNEL}), batch_normalization=("bn", {0: BIAS, 1: BIAS}))
    write_layers(tmp_path / names[1], conv2d=(None, {1: BIAS}), batch_normalization=("bn", {2: BIAS, 3: BIAS}))
    found = set(read_checkpoint(tmp_path).groups[""])
    for part in ("model.weights.json", *names):
        assert read_checkpoint(tmp_path / part).path == tmp_path
    norm = {f"bn/{leaf}" for leaf in ("gamma", "beta", "moving_mean", "moving_variance")}
    assert found == {"conv/kernel", "conv2d:0/bias", *norm}


def test_a_tensor_in_two_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"registered_name": "keras_hub>XceptionBackbone"}')
    for name in ("model.weights.h5", "task.weights.h5"):
        write_layers(tmp_path / name, conv2d=("conv", {0: KERNEL}))
    with pytest.raises(InputError, match="two of its files hold a tensor named 'conv/kernel'"):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("listed", "reason"),
    [
        ({}, "lists 0 files"),
        ({"a": "model_00000.weights.h5"}, "which is not next to it"),
        ({"a": "../model.weights.h5"}, "expected names such as"),
        ({"a": ["/etc/passwd"]}, "expected names such as"),
        ({"a": 5}, "names something that is no file"),
        ({str(i): f"model_{i}.weights.h5" for i in range(2000)}, "lists 2000 files"),
    ],
)
def test_a_list_of_files_that_is_none_is_refused(listed: object, reason: str, tmp_path: Path) -> None:
    (tmp_path / "zm_config.json").write_text("{}")
    (tmp_path / "model.weights.json").write_text(json.dumps({"weight_map": listed}))
    with pytest.raises(InputError, match=reason):
        read_checkpoint(tmp_path)


INDEXES = [("model.safetensors.index.json", "safetensors"), ("pytorch_model.bin.index.json", "bin")]


def spread(folder: Path, index: str, ending: str) -> list[str]:
    """Two files of weights with the list of them; their names."""
    parts = {"a.weight": np.ones((2, 3), np.float32)}, {"b.weight": np.zeros((4, 2), np.float32)}
    names = [f"{index.partition('.')[0]}-0000{place + 1}-of-00002.{ending}" for place in range(2)]
    for name, part in zip(names, parts, strict=True):
        if ending == "bin":
            torch.save({key: torch.tensor(value) for key, value in part.items()}, folder / name)
        else:
            save_file(part, folder / name)
    listed = {key: name for name, part in zip(names, parts, strict=True) for key in part}
    (folder / index).write_text(json.dumps({"metadata": {"total_size": 56}, "weight_map": listed}))
    return names


@pytest.mark.parametrize(("index", "ending"), INDEXES)
def test_weights_that_are_spread_over_files_are_read_as_one_network(index: str, ending: str, tmp_path: Path) -> None:
    names = spread(tmp_path, index, ending)
    with pytest.raises(InputError, match=rf"pass the file: .*{index}$"):
        read_checkpoint(tmp_path)
    alone = read_checkpoint(tmp_path / index)
    assert list(alone.groups[""]) == ["a.weight", "b.weight"]
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    for path in (tmp_path, tmp_path / index, tmp_path / names[1]):
        found = read_checkpoint(path)
        assert (found.path, found.container, list(found.groups[""])) == (
            *(tmp_path, "model_folder"),
            ["a.weight", "b.weight"],
        )
    (tmp_path / names[1]).unlink()
    with pytest.raises(InputError, match=rf"lists '{names[1]}', which is not next to it"):
        read_checkpoint(tmp_path)
