import numpy as np
import pytest

from xception.arch.compute import STEM_WEIGHT
from xception.convert.input_channels import adapt_stem
from xception.errors import UsageError


@pytest.fixture
def tensors() -> dict[str, np.ndarray]:
    kernel = np.random.default_rng(0).normal(size=(8, 3, 3, 3)).astype(np.float32)
    return {STEM_WEIGHT: kernel, "head.classifier.bias": np.zeros(5, np.float32)}


def responses(kernel: np.ndarray, image: np.ndarray) -> np.ndarray:
    """What the kernel gives for one 3x3 image, (C, 3, 3): (O,)."""
    return np.einsum("ochw,chw->o", kernel, image)


def test_a_summed_kernel_gives_a_gray_image_what_its_copies_gave(tensors: dict[str, np.ndarray]) -> None:
    gray = np.random.default_rng(1).normal(size=(1, 3, 3)).astype(np.float32)
    fitted = adapt_stem(tensors, 1, "sum")
    assert fitted[STEM_WEIGHT].shape == (8, 1, 3, 3)
    np.testing.assert_allclose(
        responses(fitted[STEM_WEIGHT], gray), responses(tensors[STEM_WEIGHT], gray.repeat(3, 0)), rtol=1e-5
    )


def test_a_repeated_kernel_keeps_the_response_to_equal_channels(tensors: dict[str, np.ndarray]) -> None:
    gray = np.random.default_rng(1).normal(size=(1, 3, 3)).astype(np.float32)
    fitted = adapt_stem(tensors, 6, "repeat")
    expected = responses(tensors[STEM_WEIGHT], gray.repeat(3, 0))
    np.testing.assert_allclose(responses(fitted[STEM_WEIGHT], gray.repeat(6, 0)), expected, rtol=1e-5)


@pytest.mark.parametrize("channels", [1, 2, 4, 5])
def test_a_repeated_kernel_takes_channels_in_turn(channels: int, tensors: dict[str, np.ndarray]) -> None:
    fitted = adapt_stem(tensors, channels, "repeat")[STEM_WEIGHT]
    for channel in range(channels):
        np.testing.assert_allclose(fitted[:, channel], tensors[STEM_WEIGHT][:, channel % 3] * 3 / channels, rtol=1e-6)
    assert fitted.dtype == np.float32


def test_the_right_number_of_channels_changes_nothing(tensors: dict[str, np.ndarray]) -> None:
    assert adapt_stem(tensors, 3, "repeat") == tensors


def test_nothing_but_the_stem_changes(tensors: dict[str, np.ndarray]) -> None:
    fitted = adapt_stem(tensors, 4, "repeat")
    assert fitted.keys() == tensors.keys()
    assert fitted["head.classifier.bias"] is tensors["head.classifier.bias"]


@pytest.mark.parametrize(("channels", "rule"), [(2, "sum"), (0, "repeat")])
def test_impossible_channels_are_refused(channels: int, rule: str, tensors: dict[str, np.ndarray]) -> None:
    with pytest.raises(UsageError, match=str(channels)):
        adapt_stem(tensors, channels, rule)
