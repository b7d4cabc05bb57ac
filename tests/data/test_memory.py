import numpy as np
import pytest
import torch
from PIL import Image

from tests.support.samples import picture
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


def test_what_is_neither_an_image_nor_several_is_refused() -> None:
    with pytest.raises(InputError, match="int is no image"):
        list(as_items(3))
