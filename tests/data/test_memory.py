import io
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.support.samples import encoded, picture
from xception.data.folder import as_items
from xception.data.memory import as_item, in_memory
from xception.errors import InputError


def test_arrays_and_images_are_items() -> None:
    source = in_memory([np.asarray(picture()), picture(seed=1)], [1, 0], ("cat", "dog"), "mine")
    assert [(item.key, item.target) for item in source] == [("000000000", 1), ("000000001", 0)]
    assert source[0].load() == picture()
    assert source[1].load() == picture(seed=1)
    assert (source.name, source.classes, len(source)) == ("mine", ("cat", "dog"), 2)


def test_one_array_holds_many_gray_images() -> None:
    images = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
    image = in_memory(images, np.array([0, 0]), ("a",))[1].load()
    assert np.array_equal(np.asarray(image), images[1])


def test_a_target_for_each_image_is_expected() -> None:
    with pytest.raises(InputError, match="2 images came with 1 targets"):
        in_memory([picture(), picture()], [0], ("a",))


@pytest.mark.parametrize("target", [-1, 1])
def test_a_target_must_be_a_class(target: int) -> None:
    with pytest.raises(InputError, match=f"the target {target} is none of 1 classes"):
        in_memory([picture()], [target], ("a",))


def test_other_numbers_than_bytes_are_refused() -> None:
    with pytest.raises(InputError, match="type float64; expected 8-bit"):
        in_memory(np.zeros((1, 2, 2)), [0], ("a",))[0].load()


def pixels(item: object) -> np.ndarray:
    image = item.load()  # type: ignore[attr-defined]
    assert isinstance(image, Image.Image)
    return np.asarray(image)


def test_a_torch_tensor_is_an_image_with_its_channels_first() -> None:
    rgb = np.asarray(picture())
    tensor = torch.from_numpy(rgb.transpose(2, 0, 1).copy())
    np.testing.assert_array_equal(pixels(as_item(tensor)), rgb)
    np.testing.assert_array_equal(pixels(as_item(tensor[:1])), rgb[..., 0])
    np.testing.assert_array_equal(pixels(as_item(tensor[0])), rgb[..., 0])


def test_a_tensor_of_four_axes_is_several_images() -> None:
    tensor = torch.zeros(3, 3, 5, 4, dtype=torch.uint8)
    assert [pixels(item).shape for item in as_items(tensor)] == [(5, 4, 3)] * 3
    assert [pixels(item).shape for item in as_items(tensor[0])] == [(5, 4, 3)]


@pytest.mark.parametrize(
    ("tensor", "words"),
    [
        (torch.zeros(3, 5, 4), "a tensor of float32 does not tell how its values were prepared"),
        (torch.zeros(5, 4, 3, dtype=torch.uint8), r"shape \(5, 4, 3\); expected \(C, H, W\) with 1 or 3 channels"),
    ],
)
def test_a_tensor_that_leaves_its_meaning_open_is_refused(tensor: torch.Tensor, words: str) -> None:
    with pytest.raises(InputError, match=words):
        list(as_items(tensor))


@pytest.mark.parametrize("shape", [(), (3,), (3, 5, 6), (2, 5, 4, 3, 1), (0, 4, 3), (5, 0), (5, 4, 5)])
def test_an_array_of_another_shape_is_refused_with_it(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"has the shape \(.*\); expected \(H, W\), \(H, W, 1\) or \(H, W, 3\)"):
        as_item(np.zeros(shape, np.uint8)).load()


def test_one_channel_may_have_an_axis_of_its_own() -> None:
    gray = np.asarray(picture(mode="L"))
    np.testing.assert_array_equal(pixels(as_item(gray[..., None])), gray)


def test_an_encoded_file_may_be_open_or_in_any_buffer(tmp_path: Path) -> None:
    data = encoded(picture())
    (tmp_path / "a.png").write_bytes(data)
    with (tmp_path / "a.png").open("rb") as file, os.scandir(tmp_path) as entries:
        for image in (file, io.BytesIO(data), bytearray(data), memoryview(data), next(entries)):
            (item,) = as_items(image)
            assert item.load() == data


def test_a_list_may_hold_folders(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for name in ("a/0.png", "a/1.png", "b.png"):
        (tmp_path / name).write_bytes(encoded(picture()))
    found = [item.key for item in as_items([tmp_path / "b.png", str(tmp_path / "a")])]
    assert found == [str(tmp_path / name) for name in ("b.png", "a/0.png", "a/1.png")]


@pytest.mark.parametrize(
    ("images", "words"),
    [
        ("", "an empty path is no image"),
        ("a" * 5000, "File name too long"),
        ({"a.png": 1}, "dict is no list of images"),
        (io.StringIO("text"), "StringIO is no image"),
        (torch.zeros(3, 2, 2).to_sparse(), "cannot be read as an array"),
        (torch.zeros(3, 2, 2).bfloat16(), "cannot be read as an array"),
        (torch.zeros(3, 2, 2, device="meta"), "cannot be read as an array"),
    ],
)
def test_what_holds_no_images_is_refused_in_a_sentence(images: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        list(as_items(images))


@pytest.mark.parametrize("targets", [[0.5], ["cat"], np.array([0.0]), [("cat",)]])
def test_a_target_is_a_whole_number(targets: object) -> None:
    with pytest.raises(InputError, match="is no index of a class; expected a whole number"):
        in_memory([picture()], targets, ("cat",))


def test_a_source_in_memory_takes_images_in_every_form() -> None:
    rgb = np.asarray(picture())
    source = in_memory([torch.from_numpy(rgb.transpose(2, 0, 1).copy()), encoded(picture())], [0, 0], ("a",))
    np.testing.assert_array_equal(pixels(source[0]), rgb)
    assert source[1].load() == encoded(picture())
    with pytest.raises(InputError, match="NoneType and list came as images and targets"):
        in_memory(None, [0], ("a",))


def test_what_is_neither_an_image_nor_several_is_refused() -> None:
    with pytest.raises(InputError, match="int is no image"):
        list(as_items(3))
