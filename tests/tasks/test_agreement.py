import msgspec
import numpy as np
import pytest

from tests.support.samples import OneAtATime, encoded, labelled, picture
from xception.backends.base import open_session
from xception.bundle import Bundle
from xception.data.source import Item
from xception.errors import InputError
from xception.preprocess import Preprocess
from xception.tasks.agreement import PROBE_BATCH_SIZE, agreement, data_pixels, probe_pixels


class Table(OneAtATime):
    """A session that returns given logits, row by row."""

    name = "table"
    input_shape = (1, 1, 1)
    num_classes = 2
    batch_size = None

    def __init__(self, rows: list[list[float]]) -> None:
        self.rows = np.array(rows, np.float32)

    def __call__(self, pixels: np.ndarray, /) -> np.ndarray:
        return self.rows[pixels[:, 0, 0, 0].astype(int)]

    def close(self) -> None: ...


def indices(count: int) -> np.ndarray:
    return np.arange(count, dtype=np.float32).reshape(-1, 1, 1, 1)


def test_a_session_agrees_with_itself_completely(weights_bundle: Bundle) -> None:
    session = open_session(weights_bundle)
    result = agreement(session, session, probe_pixels(weights_bundle))
    assert (result.samples, result.max_abs_diff, result.top1_agreement) == (16, 0, 1)


def test_differences_are_those_of_the_logits() -> None:
    ours = Table([[1, 2], [4, 3], [0, 8]])
    theirs = Table([[1, 2.5], [3, 4], [0, 8]])
    result = agreement(ours, theirs, indices(3))
    assert result.samples == 3
    assert result.max_abs_diff == 1
    assert result.mean_abs_diff == pytest.approx(2.5 / 6)
    assert result.relative_diff == pytest.approx(1 / 8)
    assert result.top1_agreement == pytest.approx(2 / 3)


def test_every_sample_counts_beyond_the_first_batch() -> None:
    rows = [[0.0, 1.0]] * (PROBE_BATCH_SIZE + 2)
    result = agreement(Table([*rows[:-1], [0, 5]]), Table(rows), indices(len(rows)))
    assert result.max_abs_diff == 4


def test_a_parent_of_zeros_does_not_divide_by_zero() -> None:
    assert agreement(Table([[0, 0]]), Table([[0, 0]]), indices(1)).relative_diff == 0


def test_forms_of_one_network_agree_and_another_network_does_not(forms: dict[str, Bundle]) -> None:
    pixels = probe_pixels(forms["weights"])
    weights, graph = open_session(forms["weights"]), open_session(forms["onnx"])
    assert agreement(graph, weights, pixels).relative_diff < 1e-5
    unlike = Table(weights(-pixels).tolist())
    unlike_order = Table(weights(pixels).tolist())
    assert agreement(unlike, unlike_order, indices(len(pixels))).relative_diff > 1e-2


def test_probe_images_are_black_white_gray_and_noise_and_always_the_same(weights_bundle: Bundle) -> None:
    pixels = probe_pixels(weights_bundle, 9)
    assert pixels.shape == (9, 3, 32, 32)
    assert (pixels[0] == -1).all()
    assert (pixels[1] == 1).all()
    assert all(pixels[index].std() > 0.2 for index in range(2, 9) if index != 4)
    assert np.ptp(pixels[4]) == 0
    assert (pixels[6, 0] == pixels[6, 1]).all()
    assert (pixels[7, 0] != pixels[7, 1]).any()
    assert np.array_equal(pixels, probe_pixels(weights_bundle, 9))


def test_probe_images_need_a_fixed_size(weights_bundle: Bundle) -> None:
    preprocess = msgspec.structs.replace(weights_bundle.model.preprocess, crop=None)
    model = msgspec.structs.replace(weights_bundle.model, preprocess=preprocess)
    with pytest.raises(InputError, match="no fixed input size"):
        probe_pixels(Bundle(path=weights_bundle.path, model=model, labels=weights_bundle.labels))


def test_unreadable_images_are_passed_over(weights_bundle: Bundle) -> None:
    preprocess = weights_bundle.model.preprocess
    assert len(data_pixels(labelled(10, broken=(1, 2)), preprocess, 6)) == 4
    with pytest.raises(InputError, match="none of the images can be read"):
        data_pixels(labelled(3, broken=range(3)), preprocess)


def test_images_that_keep_their_own_sizes_are_not_compared_at_once() -> None:
    files = [encoded(picture(width=width)) for width in (40, 44)]
    items = [Item(str(index), None, lambda file=file: file) for index, file in enumerate(files)]
    with pytest.raises(InputError, match="the images are of 2 sizes"):
        data_pixels(items, Preprocess())
