import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.samples import HANG_S
from xception.pipeline.overlap import overlap


def stage_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("overlap")]


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    assert not stage_threads()


def square(number: int) -> int:
    return number * number


@settings(max_examples=settings.default.max_examples // 2)  # each starts threads
@given(count=st.integers(0, 50), workers=st.integers(1, 5), depth=st.one_of(st.none(), st.integers(1, 60)))
def test_results_come_in_the_order_of_the_items(count: int, workers: int, depth: int | None) -> None:
    assert list(overlap(range(count), square, workers=workers, depth=depth)) == [n * n for n in range(count)]


def test_order_holds_when_later_items_are_done_first() -> None:
    others_done = threading.Event()

    def last_first(number: int) -> int:
        if number == 0:
            assert others_done.wait(HANG_S)
        if number == 3:
            others_done.set()
        return number

    assert list(overlap(range(4), last_first, workers=4)) == [0, 1, 2, 3]


def test_workers_really_work_at_once() -> None:
    meeting = threading.Barrier(3)
    assert list(overlap(range(3), lambda _: meeting.wait(HANG_S) >= 0, workers=3)) == [True] * 3


class Counted:
    """An endless source that knows how many items were drawn."""

    def __init__(self) -> None:
        self.drawn = 0

    def __iter__(self) -> Iterator[int]:
        while True:
            self.drawn += 1
            yield self.drawn


@pytest.mark.parametrize(("workers", "depth", "most"), [(1, None, 2), (3, None, 6), (2, 5, 5), (2, 1, 1)])
def test_a_slow_consumer_holds_the_source_back(workers: int, depth: int | None, most: int) -> None:
    source = Counted()
    results = overlap(source, square, workers=workers, depth=depth)
    assert source.drawn == 0
    for taken in range(1, 20):
        next(results)
        assert taken <= source.drawn <= taken - 1 + most
    results.close()


def test_an_error_of_the_function_surfaces_in_its_turn() -> None:
    def third_fails(number: int) -> int:
        if number == 2:
            raise ValueError("third")
        return number

    results = overlap(range(100), third_fails, workers=4)
    assert (next(results), next(results)) == (0, 1)
    with pytest.raises(ValueError, match="third"):
        next(results)
    assert not stage_threads()
    assert list(results) == []


def test_an_error_of_the_source_surfaces() -> None:
    def breaks() -> Iterator[int]:
        yield 1
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        list(overlap(breaks(), square))
    assert not stage_threads()


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_interruptions_in_a_worker_reach_the_consumer(error: type[BaseException]) -> None:
    def interrupted(_: int) -> int:
        raise error

    with pytest.raises(error):
        list(overlap(range(9), interrupted, workers=2))
    assert not stage_threads()


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_interruptions_of_the_consumer_stop_the_stage(error: type[BaseException]) -> None:
    results = overlap(Counted(), square, workers=2)
    with pytest.raises(error):
        results.throw(error)
    assert not stage_threads()


def test_a_consumer_that_stops_early_leaves_no_thread_and_no_further_work() -> None:
    source = Counted()
    for result in overlap(source, square, workers=3):
        if result == 25:
            break
    del result
    assert not stage_threads()
    drawn = source.drawn
    assert drawn <= 5 + 6
    assert source.drawn == drawn


def test_work_that_was_not_begun_is_dropped_when_the_consumer_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    release, begun = threading.Event(), []

    class ReleasingPool(ThreadPoolExecutor):
        """Lets what was begun end once the rest is dropped."""

        def shutdown(self, *arguments: Any, **options: Any) -> None:
            release.set()
            super().shutdown(*arguments, **options)

    def slow(number: int) -> int:
        begun.append(number)
        if number:
            assert release.wait(HANG_S)
        return number

    monkeypatch.setattr("xception.pipeline.overlap.ThreadPoolExecutor", ReleasingPool)
    results = overlap(range(50), slow, workers=1, depth=20)
    next(results)
    results.close()
    assert begun in ([0], [0, 1])


def test_a_stage_that_is_never_started_starts_no_thread() -> None:
    overlap(Counted(), square)
    assert not stage_threads()


def test_stages_nest_in_order() -> None:
    inner = overlap(range(40), square, workers=3)
    outer = overlap(inner, lambda number: number + 1, workers=2)
    assert list(outer) == [n * n + 1 for n in range(40)]


def test_closing_the_outer_stage_leaves_the_inner_one_to_who_made_it() -> None:
    with closing(overlap(Counted(), square, workers=2)) as inner, closing(overlap(inner, square, workers=2)) as outer:
        next(outer)
        outer.close()
        assert next(inner) > 1
    assert not stage_threads()


def test_an_error_in_the_inner_stage_passes_through_the_outer_one() -> None:
    def breaks(number: int) -> int:
        if number == 5:
            raise ValueError("inner")
        return number

    results = overlap(overlap(range(100), breaks, workers=2), square, workers=2, depth=1)
    seen = []
    with pytest.raises(ValueError, match="inner"):
        for result in results:
            seen.append(result)  # noqa: PERF402 - what came before the error is to be kept
    assert seen == [0, 1, 4, 9, 16]
