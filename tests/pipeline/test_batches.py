import threading
from collections.abc import Iterator, Sequence
from queue import SimpleQueue

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.samples import HANG_S
from xception.pipeline.batches import Arrivals, batched
from xception.pipeline.overlap import NOTHING

EVER = 1e9


@given(st.lists(st.integers(), max_size=30), st.integers(1, 5))
def test_batching_keeps_every_item_in_its_place(items: Sequence[int], size: int) -> None:
    groups = list(batched(items, size))
    assert [item for group in groups for item in group] == list(items)
    assert all(len(group) == size for group in groups[:-1])
    assert all(groups)


@given(st.lists(st.integers(), max_size=40), st.integers(1, 5), st.integers(1, 4))
def test_batches_that_are_computed_at_once_share_what_remains(items: Sequence[int], size: int, at_once: int) -> None:
    groups = list(batched(items, size, at_once))
    assert [item for group in groups for item in group] == list(items)
    whole, rest = divmod(len(items), size * at_once)
    last = groups[whole * at_once :]
    assert all(len(group) == size for group in groups[: whole * at_once])
    assert len(last) <= at_once
    assert max(map(len, last), default=0) == -(-rest // at_once)


@given(st.lists(st.integers(), max_size=30), st.integers(1, 5))
def test_arrivals_that_wait_for_ever_are_the_same_batches(items: Sequence[int], size: int) -> None:
    assert list(Arrivals(items, size, EVER)) == list(batched(items, size))


def given_by(queue: "SimpleQueue[int | None]") -> Iterator[int]:
    """The numbers of a queue as they come, up to a None."""
    while (number := queue.get(timeout=HANG_S)) is not None:
        yield number


def test_a_part_batch_is_handed_on_while_the_source_waits() -> None:
    queue: SimpleQueue[int | None] = SimpleQueue()
    arrivals = Arrivals(given_by(queue), 8, 0.0)
    for number in range(3):
        queue.put(number)
        # The source has nothing more: a batch that waited to be full would never come.
        assert next(arrivals) == [number]
    queue.put(None)
    assert list(arrivals) == []


def test_a_full_batch_waits_for_nothing() -> None:
    queue: SimpleQueue[int | None] = SimpleQueue()
    arrivals = Arrivals(given_by(queue), 2, EVER)
    queue.put(1)
    queue.put(2)
    assert next(arrivals) == [1, 2]
    queue.put(3)
    queue.put(None)
    assert list(arrivals) == [[3]]


def test_waking_gives_nothing_and_loses_nothing() -> None:
    queue: SimpleQueue[int | None] = SimpleQueue()
    arrivals = Arrivals(given_by(queue), 2, EVER)
    arrivals.wake()
    assert next(arrivals) is NOTHING
    for number in (1, 2, None):
        queue.put(number)
    assert list(arrivals) == [[1, 2]]


def test_an_error_of_the_source_comes_behind_what_came_before_it() -> None:
    def breaks() -> Iterator[int]:
        yield 1
        raise OSError("the camera is gone")

    arrivals = Arrivals(breaks(), 2, EVER)
    assert next(arrivals) == [1]
    with pytest.raises(OSError, match="the camera is gone"):
        next(arrivals)


def test_a_live_source_is_read_at_most_two_batches_ahead_and_no_further_once_closed() -> None:
    taken: list[int] = []
    told = threading.Condition()

    def endless() -> Iterator[int]:
        while True:
            with told:
                taken.append(len(taken))
                told.notify_all()
            yield taken[-1]

    arrivals = Arrivals(endless(), 3, EVER)
    assert next(arrivals) == [0, 1, 2]
    with told:
        assert told.wait_for(lambda: len(taken) == 9 + 1, HANG_S)
    arrivals.close()
    thread = next((thread for thread in threading.enumerate() if thread.name == "arrivals"), None)
    if thread:
        thread.join(HANG_S)
        assert not thread.is_alive()
    assert len(taken) <= 9 + 1
