from pathlib import Path

import msgspec
import numpy as np
import pytest

from tests.conftest import PX
from xception.bundle import GOLDENS, Bundle, open_bundle, write_bundle
from xception.errors import InputError
from xception.goldens import golden_images, images_of, make_goldens, read_goldens, write_with_goldens
from xception.weights import weights_bytes


@pytest.fixture(scope="module")
def bundle(weights_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    files = {weights_bundle.main_file.name: weights_bundle.content()}
    place = tmp_path_factory.mktemp("goldens") / "bundle"
    return write_with_goldens(place, weights_bundle.model, weights_bundle.labels, files)


def test_a_bundle_carries_images_pixels_and_answers(bundle: Bundle) -> None:
    goldens = read_goldens(open_bundle(bundle.path))
    assert len(goldens) == 3
    for golden in goldens:
        assert (golden.image.dtype, golden.image.shape[2]) == (np.uint8, 3)
        assert (golden.pixels.dtype, golden.pixels.shape) == (np.float32, (3, PX, PX))
        assert (golden.logits.dtype, golden.logits.shape) == (np.float32, (7,))
    assert GOLDENS in bundle.model.files


def test_images_are_always_the_same_and_larger_and_smaller_than_the_input(bundle: Bundle) -> None:
    first, second = golden_images(bundle.model), golden_images(bundle.model)
    assert all(np.array_equal(one, other) for one, other in zip(first, second, strict=True))
    heights = [image.shape[0] for image in first]
    assert min(heights) < PX < max(heights)
    assert not any(np.array_equal(image[..., 0], image[..., 2]) for image in first)


def test_a_child_answers_its_parents_images(bundle: Bundle) -> None:
    image = np.zeros((5, 6, 3), np.uint8)
    pixels, logits = np.zeros((3, PX, PX), np.float32), np.zeros(7, np.float32)
    content = weights_bytes({"0.image": image, "0.pixels": pixels, "0.logits": logits})
    files: dict[str, bytes | Path] = {bundle.main_file.name: bundle.content(), GOLDENS: content}
    parent = write_bundle(bundle.path.with_name("parent"), bundle.model, bundle.labels, files)
    made = make_goldens(bundle, images_of(parent))[GOLDENS]
    child = write_bundle(bundle.path.with_name("child"), bundle.model, bundle.labels, {**files, GOLDENS: made})
    (golden,) = read_goldens(child)
    assert np.array_equal(golden.image, image)
    assert golden.logits.any()


def test_goldens_are_no_part_of_the_digest_but_are_verified(bundle: Bundle, weights_bundle: Bundle) -> None:
    assert bundle.model.digest == weights_bundle.model.digest
    broken = write_bundle(
        bundle.path.with_name("broken"),
        bundle.model,
        bundle.labels,
        {bundle.main_file.name: bundle.content(), GOLDENS: bundle.content(GOLDENS)},
    )
    data = bytearray((broken.path / GOLDENS).read_bytes())
    data[-1] ^= 1
    (broken.path / GOLDENS).write_bytes(data)
    with pytest.raises(InputError, match=rf"{GOLDENS} is not the file"):
        open_bundle(broken.path)


def test_a_bundle_without_goldens_has_none(weights_bundle: Bundle) -> None:
    assert read_goldens(weights_bundle) == ()


def test_something_else_in_their_place_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    files = {bundle.main_file.name: bundle.content(), GOLDENS: weights_bytes({"a": np.zeros(1, np.float32)})}
    odd = write_bundle(tmp_path / "odd", bundle.model, bundle.labels, files)
    with pytest.raises(InputError, match="holds something else than goldens"):
        read_goldens(odd)


def test_without_a_runtime_there_are_none(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xception.goldens.installed", lambda _: [])
    assert make_goldens(bundle) == {}


def test_the_file_is_small_next_to_the_pixels(bundle: Bundle) -> None:
    pixels = 3 * 3 * PX * PX * 4
    assert bundle.model.files[GOLDENS].size_bytes < 2 * pixels
    assert msgspec.structs.replace(bundle.model, files={}).name == "small"
