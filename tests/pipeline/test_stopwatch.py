import threading

import pytest

from tests.speed.clocks import HandClock
from xception.pipeline.stopwatch import Stopwatch


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> HandClock:
    clock = HandClock()
    monkeypatch.setattr("xception.pipeline.stopwatch.perf_counter", clock)
    return clock


def test_a_block_is_timed_and_its_images_counted(clock: HandClock) -> None:
    watch = Stopwatch()
    with watch.measure(4):
        clock.move(0.5)
    clock.move(8)
    assert (watch.images, watch.busy_s) == (4, 0.5)


def test_a_block_that_fails_counts_too() -> None:
    watch = Stopwatch()
    with pytest.raises(ValueError, match="x"), watch.measure():
        raise ValueError("x")
    assert watch.images == 1


def test_threads_add_up_and_none_is_lost() -> None:
    watch = Stopwatch()

    def work() -> None:
        for _ in range(500):
            with watch.measure():
                pass

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert watch.images == 4000


class Turn:
    """A resource that is free after a time on the clock."""

    def __init__(self, clock: HandClock, wait_s: float) -> None:
        self._clock, self._wait_s = clock, wait_s

    def __enter__(self) -> None:
        self._clock.move(self._wait_s)

    def __exit__(self, *_: object) -> None:
        self._clock.move(4)


def test_waiting_for_something_counts_apart_from_work(clock: HandClock) -> None:
    watch = Stopwatch()
    with watch.entering(Turn(clock, 0.25)):
        clock.move(2)
    assert (watch.waiting_s, watch.busy_s, watch.images) == (0.25, 0, 0)


def test_a_resource_is_given_back() -> None:
    turn = threading.Lock()
    with Stopwatch().entering(turn):
        assert turn.locked()
    assert not turn.locked()
