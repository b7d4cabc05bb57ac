from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.convert.make_samples import SAMPLES
from xception.convert.readers.binary import load_file
from xception.convert.readers.hdf5 import HDF5Node, open_hdf5
from xception.errors import InputError

KERAS_FILES = ("keras_full.h5", "keras_weights.h5", "keras.weights.h5")


@pytest.mark.parametrize("name", KERAS_FILES)
def test_every_group_and_dataset_is_what_h5py_finds(name: str) -> None:
    found = {}

    def walk(node: HDF5Node) -> None:
        for child in map(node.child, node.children):
            found[child.path[1:]] = child
            walk(child)

    walk(open_hdf5(load_file(SAMPLES / name).data))
    with h5py.File(SAMPLES / name) as file:
        file.visititems(lambda path, item: check(path, item, found.pop(path)))
    assert not found


def check(path: str, item: h5py.Group | h5py.Dataset, node: HDF5Node) -> None:
    if isinstance(item, h5py.Dataset):
        assert node.array().dtype == item.dtype
        np.testing.assert_array_equal(node.array(), item[()], err_msg=path)
    for name in item.attrs:
        if h5py.check_string_dtype(item.attrs.get_id(name).dtype) and item.attrs.get_id(name).shape:
            assert node.texts(name) == list(item.attrs[name])


@pytest.fixture
def root(tmp_path: Path) -> HDF5Node:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        for code in ("f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", ">f4", ">i2"):
            file[code] = np.arange(6, dtype=code).reshape(2, 3)
        file["scalar"] = np.float32(2.5)
        file["empty"] = np.zeros((0, 3), "f4")
        space, layout = h5py.h5s.create_simple((2,)), h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        layout.set_layout(h5py.h5d.COMPACT)
        h5py.h5d.create(file.id, b"compact", h5py.h5t.IEEE_F32LE, space, layout).write(space, space, np.ones(2, "f4"))
        for name in ("brain", "two bytes"):
            file[name] = np.array([0x3F80, 0xC020], "<u2").view("V2")
        file["brain"].attrs["dtype"] = "bfloat16"
        file.attrs["fixed"] = np.bytes_("text")
        file.attrs["variable"] = "größer" * 100
        file.attrs["empty"] = ""
        file.attrs["list of fixed"] = np.array([b"a", b"bcd"])
        file.attrs["list of variable"] = ["ä", "bcd"]
        file.attrs["no list"] = np.zeros(0)
        file.attrs["nothing"] = h5py.Empty("f4")
        for i in range(200):
            file.create_group(f"group{i}")
    return open_hdf5(load_file(tmp_path / "x.h5").data)


def test_numbers_of_every_type_are_read_in_the_order_of_this_machine(root: HDF5Node) -> None:
    for code in ("f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", ">f4", ">i2"):
        array = root.child(code).array()
        assert array.dtype == np.dtype(code).newbyteorder("=")
        assert array.tolist() == [[0, 1, 2], [3, 4, 5]]


def test_two_bytes_that_keras_calls_bfloat16_are_numbers(root: HDF5Node) -> None:
    assert root.child("brain").array().tolist() == [1.0, -2.5]
    with pytest.raises(InputError, match="'/two bytes' does not hold numbers"):
        root.child("two bytes").array()


def test_a_scalar_an_empty_array_and_compact_data_are_read(root: HDF5Node) -> None:
    assert root.child("scalar").array() == np.float32(2.5)
    assert root.child("empty").array().shape == (0, 3)
    assert root.child("compact").array().tolist() == [1, 1]


def test_text_of_fixed_and_variable_length_is_read(root: HDF5Node) -> None:
    assert root.text("fixed") == "text"
    assert root.text("variable", 10_000) == "größer" * 100
    assert root.text("empty") == ""
    assert root.texts("list of fixed") == ["a", "bcd"]
    assert root.texts("list of variable") == ["ä", "bcd"]
    assert root.texts("no list") == []
    assert root.texts("nothing") == []
    assert root.text("missing") is None
    assert root.texts("missing") is None


def test_a_group_with_more_names_than_one_node_holds_is_read(root: HDF5Node) -> None:
    assert {f"group{i}" for i in range(200)} <= root.children.keys()
