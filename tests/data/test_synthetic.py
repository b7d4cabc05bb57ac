import pytest
from PIL import Image

from xception.data.decode import decode
from xception.data.sources import open_source
from xception.data.synthetic import noise_source, pictures
from xception.errors import UsageError
from xception.preprocess import Preprocess, Squash


def test_pictures_are_always_the_same_and_no_two_alike() -> None:
    first, second = ([item.load() for item in open_source("synthetic:50")] for _ in range(2))
    assert first == second
    assert len({image.tobytes() for image in first if isinstance(image, Image.Image)}) == 50


def test_size_and_classes_are_as_asked_for() -> None:
    source = open_source("synthetic:7,30x20,3")
    image = source[6].load()
    assert isinstance(image, Image.Image)
    assert (len(source), image.size, image.mode) == (7, (30, 20), "RGB")
    assert [item.target for item in source] == [0, 1, 2, 0, 1, 2, 0]
    assert source.classes == ("#0", "#1", "#2")
    assert source.name == "synthetic:7,30x20,3"
    assert len({item.key for item in source}) == 7


def test_a_great_many_cost_nothing_until_they_are_looked_at() -> None:
    source = pictures(10**9)
    assert len(source) == 10**9
    assert source[10**9 - 1].key == "999999999"


def test_a_part_is_taken_as_of_other_data() -> None:
    train, validation = (open_source(f"synthetic:200:{split}") for split in ("train", "validation"))
    assert len(train) + len(validation) == 200


@pytest.mark.parametrize("rest", ["", "0", "x", "-1", "5,4", "5,0x4", "5,4x0", "5,4x4,0", "5,4x4,", "5,4x4,2,1"])
def test_a_name_of_another_form_is_a_usage_error(rest: str) -> None:
    with pytest.raises(UsageError, match="expected synthetic:COUNT"):
        open_source(f"synthetic:{rest}")


def test_noise_needs_no_data_and_is_always_the_same() -> None:
    preprocess = Preprocess(resize=Squash(width_px=40, height_px=20))
    first, second = (noise_source(preprocess, 3) for _ in range(2))
    data = [item.load() for item in first]
    assert data == [item.load() for item in second]
    assert len(set(data)) == 3
    assert isinstance(data[0], bytes)
    assert decode(data[0]).size == (50, 25)
