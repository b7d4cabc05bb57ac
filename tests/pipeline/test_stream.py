import threading
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from tests.support.samples import HANG_S, OneAtATime, labelled, picture
from xception.backends.base import Logits, Pixels, SessionFacts, empty_batch
from xception.data.source import Item
from xception.pipeline import stream
from xception.pipeline.cores import Cores
from xception.pipeline.lane import Failure, Lane, Scored
from xception.preprocess import Preprocess, Squash

SMALL = Preprocess(resize=Squash(width_px=4, height_px=4))


class Means(OneAtATime):
    """A session whose logits are the channel means of each image, and which remembers the sizes of its batches."""

    name, input_shape, num_classes = "means", (3, None, None), 3

    def __init__(self, instances: int = 1, threads: int = 1, batch_size: int | None = None) -> None:
        self.instances, self.threads, self.batch_size = instances, threads, batch_size
        self.sizes: list[int] = []

    def __call__(self, pixels: Pixels, /) -> Logits:
        self.sizes.append(len(pixels))
        return pixels.mean((2, 3))

    def close(self) -> None: ...


def run(session: Means, items: Sequence[Item], batch_size: int, workers: int = 4) -> list[Scored | Failure]:
    lane = Lane.of(session, SMALL, mode="reference", cores=Cores(4))
    return [outcome for (outcome,) in stream.run_lanes([lane], items, batch_size, workers=workers)]


@pytest.mark.parametrize("batch_size", [1, 3, 8, 100])
@pytest.mark.parametrize("instances", [1, 3])
def test_logits_belong_to_their_items_though_arrays_are_used_again(batch_size: int, instances: int) -> None:
    broken = (0, 4, 5, 10, 20)
    source = labelled(25, broken=broken)
    outcomes = run(Means(instances), source.items, batch_size)
    assert [isinstance(outcome, Failure) for outcome in outcomes] == [index in broken for index in range(25)]
    for index, outcome in enumerate(outcomes):
        if isinstance(outcome, Scored):
            assert outcome.item is source[index]
            np.testing.assert_allclose(outcome.logits, SMALL(picture(seed=index)).mean((1, 2)), rtol=1e-5)


@pytest.mark.parametrize(
    ("session", "sizes"),
    [
        (Means(instances=2), [4, 4, 6, 6]),
        (Means(instances=3), [6, 6, 6, 1, 1]),
        (Means(instances=1), [6, 6, 6, 2]),
        (Means(instances=2, threads=0), [6, 6, 6, 2]),
        (Means(instances=2, batch_size=6), [6, 6, 6, 6]),
    ],
    ids=["two instances", "three", "one", "a device", "a fixed batch"],
)
def test_instances_share_what_remains_at_the_end_of_a_data_set(session: Means, sizes: list[int]) -> None:
    session.sizes.clear()
    assert len(run(session, labelled(20).items, 6)) == 20
    assert sorted(session.sizes) == sorted(sizes)


def test_the_images_of_one_batch_are_prepared_on_all_workers() -> None:
    meeting = threading.Barrier(4)

    def load() -> object:
        meeting.wait(HANG_S)  # all four are being read at this moment
        return picture()

    assert len(run(Means(), [Item(str(index), None, load) for index in range(8)], 8)) == 8


class Waiting(Means):
    """A device that ends its first batch only after all images of the next one were read."""

    def __init__(self) -> None:
        super().__init__(threads=0)
        self.read = threading.Semaphore(0)

    def __call__(self, pixels: Pixels, /) -> Logits:
        if not self.sizes:
            for _ in range(2 * len(pixels)):
                assert self.read.acquire(timeout=HANG_S)
        return super().__call__(pixels)


def test_the_next_batch_is_prepared_while_a_device_computes() -> None:
    session = Waiting()

    def load() -> object:
        session.read.release()
        return picture()

    assert len(run(session, [Item(str(index), None, load) for index in range(32)], 8, workers=2)) == 32


@pytest.mark.parametrize(("instances", "workers", "arrays"), [(1, 4, 2), (2, 4, 3), (2, 32, 3)])
def test_memory_at_batch_512_is_bounded_by_the_batches_under_way(
    instances: int, workers: int, arrays: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[int, ...]] = []

    def counted(*arguments: object) -> np.ndarray:
        array = empty_batch(*arguments)
        made.append(array.shape)
        return array

    monkeypatch.setattr(stream, "empty_batch", counted)
    image, session = picture(4, 4), Means(instances, threads=0)
    items = [Item(str(index), None, lambda: image) for index in range(7 * 512)]
    assert len(run(session, items, 512, workers)) == len(items)
    assert session.sizes == [512] * 7
    assert made == [(512, 3, 4, 4)] * len(made)
    assert 1 <= len(made) <= arrays == stream.batches_under_way(session.facts, workers, 512)


def test_every_worker_has_an_image_to_prepare_while_all_instances_compute() -> None:
    for workers, batch_size in ((4, 1), (4, 3), (64, 8), (4, 512)):
        session = Means(instances=2)
        assert (stream.batches_under_way(session.facts, workers, batch_size) - 2) * batch_size >= workers


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
def test_a_session_that_takes_images_gets_them_in_the_order_of_memory_that_it_asked_for(layout: str) -> None:
    class Images(Means):
        input_values = "image"

        @property
        def facts(self) -> SessionFacts:
            return replace(super().facts, input_shape=(3, 4, 4), input_layout=layout)

        def __call__(self, pixels: Pixels, /) -> Logits:
            assert pixels.dtype == np.uint8
            assert pixels.transpose(0, 2, 3, 1).flags.c_contiguous == (layout == "nhwc")
            return super().__call__(pixels)

    for index, outcome in enumerate(run(Images(), labelled(9).items, 4)):
        assert isinstance(outcome, Scored)
        np.testing.assert_allclose(outcome.logits, SMALL.resized(picture(seed=index)).mean((1, 2)), rtol=1e-5)
