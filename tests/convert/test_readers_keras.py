import io
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.convert.make_samples import SAMPLES, values
from xception.convert.readers import read_checkpoint
from xception.errors import InputError

NORM = ("gamma", "beta", "moving_mean", "moving_variance")
# Of the network in make_samples.py; the batch normalisation without scale has three variables.
SHAPES = {
    "block1_conv1/kernel": (3, 3, 2, 3),
    **{f"block1_conv1_bn/{leaf}": (3,) for leaf in NORM},
    "inner/conv2d/kernel": (1, 1, 3, 3),
    "inner/conv2d/bias": (3,),
    **{f"inner/batch_normalization/{leaf}": (3,) for leaf in NORM},
    "block2_sepconv1/depthwise_kernel": (3, 3, 3, 1),
    "block2_sepconv1/pointwise_kernel": (1, 1, 3, 3),
    "conv2d_1/kernel": (1, 1, 3, 2),
    "conv2d_1/bias": (2,),
    **{f"batch_normalization_1/{leaf}": (2,) for leaf in NORM[1:]},
    "predictions/kernel": (2, 2),
    "predictions/bias": (2,),
}


def check(tensors: dict[str, np.ndarray]) -> None:
    for name, shape in SHAPES.items():
        np.testing.assert_array_equal(tensors[name], values(name.split("/")[-1], shape), err_msg=name)


@pytest.mark.parametrize("container", ["keras_full.h5", "keras_weights.h5"])
def test_a_file_that_lists_layers_is_read_in_the_order_of_the_network(container: str) -> None:
    checkpoint = read_checkpoint(SAMPLES / container)
    assert list(checkpoint.groups[""]) == list(SHAPES)
    check(checkpoint.groups[""])
    assert checkpoint.container == {"keras_full.h5": "keras_h5", "keras_weights.h5": "keras_h5_weights"}[container]
    assert checkpoint.metadata["keras_version"] == "3.15.1"
    assert checkpoint.metadata["layer_names"][:4] == ["input_layer", "block1_conv1", "block1_conv1_bn", "inner"]


@pytest.mark.parametrize("container", ["keras.weights.h5", "keras.keras"])
def test_a_file_that_numbers_variables_is_read_under_the_names_of_the_layers(container: str) -> None:
    checkpoint = read_checkpoint(SAMPLES / container)
    tensors = dict(checkpoint.groups[""])
    for i, leaf in enumerate(NORM[1:]):  # which of the four the three are is not in the file
        tensors[f"batch_normalization_1/{leaf}"] = tensors.pop(f"batch_normalization_1/{i}")
    assert sorted(tensors) == sorted(SHAPES)
    check(tensors)


def test_a_layer_without_a_name_is_called_by_its_class_and_place(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "old.weights.h5", "w") as file:
        for group in ("conv2d", "conv2d_2"):
            file[f"layers/{group}/vars/0"] = np.zeros((1, 1, 2, 2), np.float32)
        file["layers/inner/layers/dense_1/vars/0"] = np.zeros((2, 2), np.float32)
        file.create_group("layers/inner/vars")
    tensors = read_checkpoint(tmp_path / "old.weights.h5").groups[""]
    assert set(tensors) == {"conv2d:0/kernel", "conv2d:2/kernel", "inner/dense:1/kernel"}


@pytest.mark.parametrize("container", ["keras_full.h5", "keras.keras"])
def test_a_whole_model_comes_with_its_description(container: str) -> None:
    config = read_checkpoint(SAMPLES / container).metadata["model_config"]
    assert config["class_name"] == "Functional"
    assert "block1_conv1" in [layer["config"]["name"] for layer in config["config"]["layers"]]


def test_the_optimizer_is_left_out() -> None:
    for sample, name in (
        ("keras_full.h5", "optimizer_weights"),
        ("keras.weights.h5", "optimizer"),
        ("keras.keras", "optimizer"),
    ):
        checkpoint = read_checkpoint(SAMPLES / sample)
        assert checkpoint.metadata["left_out"] == [name]
        assert not any("iteration" in tensor for tensor in checkpoint.groups[""])


def test_weights_outside_of_all_layers_are_not_lost(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "model.h5", "w") as file:
        file.attrs["layer_names"] = np.zeros(0)
        group = file.create_group("top_level_model_weights")
        group.attrs["weight_names"] = [b"scale"]
        group["scale"] = np.ones(2, "f4")
    with h5py.File(tmp_path / "model.weights.h5", "w") as file:
        file["vars/0"] = np.ones(2, "f4")
    assert list(read_checkpoint(tmp_path / "model.h5").groups[""]) == ["top_level_model_weights/scale"]
    assert list(read_checkpoint(tmp_path / "model.weights.h5").groups[""]) == ["0"]


def test_names_that_keras_2_doubled_lose_their_suffix(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "model.h5", "w") as file:
        file.attrs["layer_names"] = [b"conv2d_1"]
        group = file.create_group("conv2d_1")
        group.attrs["weight_names"] = [b"conv2d_1_1/kernel:0", b"conv2d_1_1/bias:0"]
        group["conv2d_1_1/kernel:0"] = np.ones((1, 1, 2, 2), "f4")
        group["conv2d_1_1/bias:0"] = np.ones(2, "f4")
    assert list(read_checkpoint(tmp_path / "model.h5").groups[""]) == ["conv2d_1/kernel", "conv2d_1/bias"]


def test_names_that_keras_1_wrote_are_kept(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "model.h5", "w") as file:
        file.attrs["layer_names"] = [b"convolution2d_1"]
        group = file.create_group("convolution2d_1")
        group.attrs["weight_names"] = [b"convolution2d_1_W"]
        group["convolution2d_1_W"] = np.ones((1, 1, 2, 2), "f4")
    assert list(read_checkpoint(tmp_path / "model.h5").groups[""]) == ["convolution2d_1/convolution2d_1_W"]


def test_a_list_of_layers_too_long_for_one_attribute_is_put_together(tmp_path: Path) -> None:
    names = [f"layer_{i}" for i in range(5)]
    with h5py.File(tmp_path / "model.h5", "w") as file:
        file.attrs["layer_names0"], file.attrs["layer_names1"] = [n.encode() for n in names[:3]], names[3:]
        for name in names:
            group = file.create_group(name)
            group.attrs["weight_names"] = [f"{name}/w".encode()]
            group[f"{name}/w"] = np.ones(1, "f4")
    checkpoint = read_checkpoint(tmp_path / "model.h5")
    assert checkpoint.metadata["layer_names"] == names
    assert list(checkpoint.groups[""]) == [f"{name}/w" for name in names]


def test_hdf5_of_another_program_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["images"] = np.zeros(4)
    with pytest.raises(InputError, match="an HDF5 file without Keras' weights"):
        read_checkpoint(tmp_path / "data.h5")


def test_a_network_without_weights_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "model.h5", "w") as file:
        file.attrs["layer_names"] = np.zeros(0)
    with pytest.raises(InputError, match="lists no layer with weights"):
        read_checkpoint(tmp_path / "model.h5")


def test_a_compressed_archive_is_refused_with_the_way_out(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(SAMPLES / "keras.keras") as old, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    (tmp_path / "model.keras").write_bytes(buffer.getvalue())
    with pytest.raises(InputError, match="zip it with `zip -0`"):
        read_checkpoint(tmp_path / "model.keras")
