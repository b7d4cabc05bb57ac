import threading
from time import perf_counter

import pytest

from xception.pipeline.stopwatch import Stopwatch


def spin(seconds: float) -> None:
    end = perf_counter() + seconds
    while perf_counter() < end:
        pass


def test_a_block_is_timed_and_its_images_counted() -> None:
    watch = Stopwatch()
    with watch.measure(4):
        spin(0.02)
    assert watch.images == 4
    assert 0.02 <= watch.busy_s < 2


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


def test_waiting_for_something_counts_apart_from_work() -> None:
    watch, turn = Stopwatch(), threading.Lock()

    def enter() -> None:
        with watch.entering(turn):
            pass

    turn.acquire()
    thread = threading.Thread(target=enter)
    thread.start()
    spin(0.02)
    turn.release()
    thread.join()
    assert not turn.locked()
    assert 0 < watch.waiting_s < 2
    assert (watch.busy_s, watch.images) == (0, 0)
