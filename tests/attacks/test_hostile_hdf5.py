"""HDF5 files that reach outside of themselves, swell, or never end. h5py writes them; nothing here reads with it."""

import io
import json
import struct
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from xception.convert.readers import hdf5, read_checkpoint


def keras_file(add: Callable[[h5py.Group], None], **options: str) -> bytes:
    """Weights of one layer, whose group `add` fills; it is told to hold the tensor "layer/kernel:0"."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", **options) as file:
        file.attrs["layer_names"] = [b"layer"]
        group = file.create_group("layer")
        group.attrs["weight_names"] = [b"layer/kernel:0"]
        add(group)
    return buffer.getvalue()


def dataset(group: h5py.Group, **options: object) -> None:
    group.create_dataset("layer/kernel:0", **options)


def external_link(group: h5py.Group) -> None:
    group.create_group("layer")["kernel:0"] = h5py.ExternalLink("/etc/passwd", "/")


def soft_link(group: h5py.Group) -> None:
    group.create_group("layer")["kernel:0"] = h5py.SoftLink("/")


def virtual(group: h5py.Group) -> None:
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (4,))
    group.create_virtual_dataset("layer/kernel:0", layout)


def reference(group: h5py.Group) -> None:
    dataset(group, data=group.ref, dtype=h5py.ref_dtype)


ATTACKS: dict[str, tuple[Callable[[h5py.Group], None], str]] = {
    "an external link": (external_link, "layout of HDF5 1.8"),
    "a soft link": (soft_link, "a soft link"),
    "a virtual dataset": (virtual, "in chunks|1.8 or later"),
    "data in another file": (
        lambda group: dataset(group, shape=(4,), dtype="f4", external=[("/etc/passwd", 0, 16)]),
        "data in another file",
    ),
    "a compressed bomb": (
        lambda group: dataset(group, shape=(2**24,), dtype="f4", chunks=(2**20,), compression="gzip", fillvalue=0),
        "compressed data",
    ),
    "chunks": (lambda group: dataset(group, data=np.zeros((4, 4), "f4"), chunks=(2, 2)), "in chunks"),
    "a huge shape without data": (lambda group: dataset(group, shape=(2**38,), dtype="f4"), "only [0-9]+ are there"),
    "an impossible shape": (lambda group: dataset(group, shape=(2**30, 2**30), dtype="f4"), "impossible shape"),
    "objects of variable length": (
        lambda group: dataset(group, data=["text"], dtype=h5py.string_dtype()),
        "does not hold numbers",
    ),
    "structures": (lambda group: dataset(group, data=np.zeros(2, "f4,i4")), "does not hold numbers"),
    "complex numbers": (lambda group: dataset(group, data=np.zeros(2, "c8")), "does not hold numbers"),
    "references": (reference, "does not hold numbers"),
    "a group in place of a dataset": (lambda group: group.create_group("layer/kernel:0"), "not a complete dataset"),
    "nothing in place of a dataset": (lambda group: None, "'layer' in '/layer', which is not there"),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_dataset_is_refused(attack: str, refused) -> None:
    add, reason = ATTACKS[attack]
    refused(keras_file(add), reason)


@pytest.mark.parametrize("version", ["v108", "latest"])
def test_a_layout_of_hdf5_1_8_or_later_is_refused(version: str, refused) -> None:
    refused(keras_file(lambda group: dataset(group, data=np.zeros(2)), libver=(version, "latest")), "superblock [23]")


def test_a_lambda_layer_is_only_text(canary: Path, tmp_path: Path) -> None:
    code = f"__import__('pathlib').Path({str(canary)!r}).touch()"
    config = {
        "class_name": "Sequential",
        "config": [{"class_name": "Lambda", "config": {"function": [code, None, None]}}],
    }
    path = tmp_path / "model.h5"
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(config)
        weights = file.create_group("model_weights")
        weights.attrs["layer_names"] = [b"layer"]
        weights.create_group("layer").attrs["weight_names"] = [b"w:0"]
        weights["layer"]["w:0"] = np.ones(2, "f4")
    checkpoint = read_checkpoint(path)
    assert checkpoint.metadata["model_config"] == config
    assert checkpoint.groups[""]["layer/w"].tolist() == [1.0, 1.0]


GOOD = keras_file(lambda group: dataset(group, data=np.arange(4, dtype="f4")))


def patched(signature: bytes, offset: int, layout: str, *values: int) -> bytes:
    """A good file with numbers changed at `offset` behind the first occurrence of a signature."""
    content = bytearray(GOOD)
    struct.pack_into("<" + layout, content, content.index(signature) + offset, *values)
    return bytes(content)


LOOPS = {
    "a tree that contains itself": (patched(b"TREE", 24 + 8, "Q", GOOD.index(b"TREE")), "loops"),
    "a tree of 65,535 branches": (patched(b"TREE", 6, "H", 65_535), "loops|only [0-9]+ are there"),
    "a table of 65,535 names": (patched(b"SNOD", 6, "H", 65_535), "loops|only [0-9]+ are there|where"),
    "names outside of the file": (patched(b"HEAP", 24, "Q", 2**62), "only [0-9]+ are there"),
    "a name without end": (patched(b"HEAP", 8, "Q", 2**62), "only [0-9]+ are there"),
}


@pytest.mark.parametrize("loop", LOOPS)
def test_a_structure_without_end_is_refused(loop: str, refused, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdf5, "MAX_HDF5_STEPS", 20_000)
    refused(*LOOPS[loop])


def test_a_header_that_continues_in_itself_ends(refused) -> None:
    content = bytearray(GOOD)
    (root,) = struct.unpack_from("<Q", content, 64)
    struct.pack_into("<HHI QQ", content, root + 16, 0x10, 16, 0, root + 16, 24)
    refused(bytes(content), "Keras")


def test_a_layer_listed_again_and_again_is_refused(refused) -> None:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        names = [f"layer{i}" for i in range(100)]
        file.attrs["layer_names"] = [name.encode() for name in names]
        group = file.create_group(names[0])
        group.attrs["weight_names"] = [b"kernel:0"]
        group["kernel:0"] = np.zeros(100_000, "f4")
        for name in names[1:]:
            file[name] = group  # a hard link
    refused(buffer.getvalue(), "more than 4 times the file")


def test_groups_that_share_their_parts_do_not_multiply(refused, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdf5, "MAX_HDF5_STEPS", 20_000)
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        group = file.create_group("layers/last")
        for _ in range(14):
            parent = file.create_group(None)
            for i in range(4):
                parent[f"layer{i}"] = group
            group = parent
        file["layers/first"] = group
    refused(buffer.getvalue(), "loops")


def test_layers_nested_deeper_than_any_network_are_refused(refused) -> None:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.create_group("layers" + "/x" * 50)
    refused(buffer.getvalue(), "nests layers deeper")


def test_a_layer_listed_twice_is_refused(refused) -> None:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.attrs["layer_names"] = [b"layer", b"layer"]
        group = file.create_group("layer")
        group.attrs["weight_names"] = [b"kernel:0"]
        group["kernel:0"] = np.zeros(1, "f4")
    refused(buffer.getvalue(), "two tensors named 'layer/kernel'")


def test_numbers_in_place_of_names_are_refused(refused) -> None:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.attrs["layer_names"] = [1, 2]
    refused(buffer.getvalue(), "attribute 'layer_names' of its '' is not text")


def test_a_path_out_of_the_group_is_only_a_name(refused) -> None:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.attrs["layer_names"] = [b"../../etc/passwd"]
    refused(buffer.getvalue(), "'..' in '', which is not there")


def test_one_long_text_listed_many_times_is_refused(refused) -> None:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.attrs["layer_names"] = ["x" * 2000] * 3
    refused(buffer.getvalue(), "text of [0-9]+ bytes")
