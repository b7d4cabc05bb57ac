import threading

import numpy as np
import pytest

from tests.support.samples import HANG_S
from xception.pipeline.buffers import Buffers
from xception.pipeline.overlap import overlap


def arrays(capacity: int = 1) -> Buffers:
    return Buffers(lambda count: np.empty((count, 3), np.uint8), capacity)


def test_one_array_serves_whoever_comes_after_another() -> None:
    buffers = arrays(capacity=8)
    for images in (8, 3, 8):
        with buffers.lend(images) as array:
            assert array.shape == (images, 3)
    assert buffers.made == 1


def test_there_are_as_many_arrays_as_were_held_at_once() -> None:
    buffers, meeting = arrays(), threading.Barrier(3)

    def hold(_: int) -> int:
        with buffers.lend(1) as array:
            meeting.wait(HANG_S)
            return array.ctypes.data

    found = list(overlap(range(30), hold, workers=3))
    assert buffers.made == len(set(found)) == 3


def test_who_asks_for_more_images_gets_an_array_in_place_of_a_smaller_one() -> None:
    buffers = arrays(capacity=2)
    for images in (2, 5, 2, 5):
        with buffers.lend(images) as array:
            assert len(array) == images
    assert buffers.made == 2


def test_an_array_comes_back_when_the_work_fails() -> None:
    buffers = arrays()
    for _ in range(2):
        with pytest.raises(ValueError, match="work"), buffers.lend(1):
            raise ValueError("work")
    assert buffers.made == 1
