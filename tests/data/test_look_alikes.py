import numpy as np
import pytest
from PIL import Image, ImageEnhance

from tests.support.samples import encoded, picture
from xception.data.decode import decode
from xception.data.look_alikes import Fingerprint, image_fingerprint, look_alikes


def printed(*images: Image.Image) -> np.ndarray:
    return np.stack([shown(image) for image in images])


def shown(image: Image.Image) -> Fingerprint:
    found = image_fingerprint(image)
    assert found is not None
    return found


def smooth(seed: int, size: tuple[int, int] = (160, 120)) -> Image.Image:
    return picture(4, 4, seed).resize(size, Image.Resampling.BICUBIC)


CHANGES = {
    "smaller": lambda image: image.resize((70, 50), Image.Resampling.BICUBIC),
    "squashed": lambda image: image.resize((64, 64), Image.Resampling.BILINEAR),
    "a poor JPEG": lambda image: decode(encoded(image, "JPEG", quality=40)),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.1),
    "less contrast": lambda image: ImageEnhance.Contrast(image).enhance(0.9),
    "a little cut off": lambda image: image.crop((1, 1, 159, 119)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_an_image_looks_like_its_changed_self_and_no_other(change: str) -> None:
    images = [smooth(seed) for seed in range(20)]
    assert look_alikes(printed(*images, CHANGES[change](images[7]))) == [[7, 20]]


def test_images_of_one_shape_and_other_colours_are_not_alike() -> None:
    image = smooth(0)
    red, green, blue = image.split()
    other = Image.merge("RGB", (blue.point(lambda v: 255 - v), red, green))
    gray = image.convert("L")
    assert look_alikes(printed(Image.merge("RGB", (gray, gray, gray)), Image.merge("RGB", (gray, gray, gray)))) == [
        [0, 1]
    ]
    assert look_alikes(printed(image, other)) == []


def test_a_flat_image_has_nothing_to_compare() -> None:
    assert image_fingerprint(Image.new("RGB", (30, 30), (200, 10, 10))) is None


def test_an_image_below_sixteen_pixels_has_no_shapes_to_compare() -> None:
    assert image_fingerprint(smooth(0, (15, 90))) is None
    assert shown(smooth(0, (16, 90))).shape == (320,)


def test_chains_of_look_alikes_are_one_group() -> None:
    images = [smooth(seed) for seed in (0, 1)]
    changed = [change(images[0]) for change in CHANGES.values()]
    assert look_alikes(printed(images[0], *changed, images[1])) == [list(range(7))]


def test_no_pair_of_close_hashes_is_missed() -> None:
    """Fifteen flipped bits leave one of sixteen bytes as it was, wherever they are."""
    rng = np.random.Generator(np.random.PCG64(0))
    prints = rng.integers(0, 256, (200, 320), np.uint8)
    for index in range(0, 200, 2):
        flipped = np.zeros(128, np.uint8)
        flipped[rng.choice(128, 15, replace=False)] = 1
        prints[index + 1, :16] = prints[index, :16] ^ np.packbits(flipped)
        prints[index + 1, 16:] = prints[index, 16:]
    assert look_alikes(prints) == [[index, index + 1] for index in range(0, 200, 2)]


def test_many_equal_fingerprints_are_one_group_without_comparing_all_pairs() -> None:
    prints = np.repeat(printed(smooth(0)), 20_000, axis=0)
    assert look_alikes(prints) == [list(range(20_000))]
