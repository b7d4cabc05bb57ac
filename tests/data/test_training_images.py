from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.support.samples import labelled, write_folder
from xception.bundle import Bundle, open_bundle, write_bundle
from xception.data.sources import open_source
from xception.data.training_images import (
    DIGESTS,
    TRAINING_IMAGES,
    ContentDigests,
    Recognised,
    carried,
    digests_bytes,
    training_images,
)
from xception.errors import InputError
from xception.weights import weights_bytes


def test_images_are_known_by_their_content_wherever_they_lie(tmp_path: Path) -> None:
    digests = ContentDigests(open_source(write_folder(tmp_path / "a", 3))).all()
    moved = write_folder(tmp_path / "b" / "c", 5)
    for path in sorted(moved.rglob("*.png")):
        path.rename(path.with_name(f"new name {path.name}"))
    source = Recognised(open_source(str(moved)), digests)
    for item in source:
        item.load()
    assert len(source.known) == len(digests) == 21
    assert len(source) == 35


def test_images_are_noted_when_they_are_loaded_and_the_others_at_the_end() -> None:
    source = labelled(6)
    counted = ContentDigests(source)
    assert isinstance(counted.item(2).load(), bytes)
    assert counted.item(2) is source[2]
    assert np.array_equal(counted.all(), ContentDigests(labelled(6)).all())


def test_the_file_depends_neither_on_the_order_nor_on_repetitions() -> None:
    digests = np.array([3, 1, 2**64 - 1], np.uint64)
    assert digests_bytes(digests) == digests_bytes(np.concatenate([digests[::-1], digests]))


@pytest.fixture
def trained(weights_bundle: Bundle, tmp_path: Path) -> Callable[[str, bytes], Bundle]:
    def write(name: str, content: bytes) -> Bundle:
        files = {"weights.safetensors": weights_bundle.content(), TRAINING_IMAGES: content}
        return write_bundle(tmp_path / name, weights_bundle.model, weights_bundle.labels, files)

    return write


def test_a_bundle_keeps_them_in_a_listed_file_that_goes_on_to_its_children(
    trained: Callable[[str, bytes], Bundle], weights_bundle: Bundle
) -> None:
    digests = np.array([1, 5], np.uint64)
    bundle = trained("a", digests_bytes(digests))
    assert np.array_equal(training_images(open_bundle(bundle.path)), digests)
    assert carried(bundle) == {TRAINING_IMAGES: digests_bytes(digests)}
    assert (training_images(weights_bundle), carried(weights_bundle)) == (None, {})
    assert bundle.size_bytes == weights_bundle.size_bytes


@pytest.mark.parametrize("wrong", [{DIGESTS: np.zeros(2, np.float32)}, {"x": np.zeros(2, np.uint64)}])
def test_a_file_of_another_content_is_refused(
    wrong: dict[str, np.ndarray], trained: Callable[[str, bytes], Bundle]
) -> None:
    with pytest.raises(InputError, match="holds no list of images; expected one tensor"):
        training_images(trained("b", weights_bytes(wrong)))
