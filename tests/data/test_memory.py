import numpy as np
import pytest

from tests.support.samples import picture
from xception.data.memory import in_memory
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
