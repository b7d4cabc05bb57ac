"""The queue in front of a model, with a clock that is moved by hand."""

from collections.abc import Callable, Sequence

import pytest

from tests.support.samples import HANG_S
from xception.serve.batcher import ARRIVAL_S, MAX_FAULTS, Batcher, Done, Ticket
from xception.serve.refusal import Refusal


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def batcher(
    clock: Clock, run: Callable[[Sequence[int]], Sequence[int]] | None = None, seconds: float = 0.0, **options: object
) -> Batcher[int, int]:
    """A batcher whose batches take `seconds` per image."""

    def double(works: Sequence[int]) -> Sequence[int]:
        clock.now_s += seconds * len(works)
        return [2 * work for work in works]

    sizes = {"batch_size": 4, "calls_at_once": 1, "max_queued": 8} | options
    return Batcher(run or double, clock=clock, **sizes)


def outcomes(ticket: Ticket[int]) -> list[object]:
    found = ticket.future.result(timeout=0)
    return [outcome.result if isinstance(outcome, Done) else outcome.status for outcome in found]


def answer_all(batches: Batcher[int, int]) -> list[int]:
    """Answer until nothing waits; returns the sizes of the batches."""
    sizes = []
    while batches.queued:
        batch = batches.take()
        sizes.append(len(batch))
        batches.answer(batch)
    return sizes


def test_a_request_is_answered_in_its_order() -> None:
    batches = batcher(Clock())
    ticket = batches.admit([1, 2, 3, 4, 5, 6], 1.0)
    assert not ticket.future.done()
    assert answer_all(batches) == [4, 2]
    assert outcomes(ticket) == [2, 4, 6, 8, 10, 12]


def test_requests_share_a_batch_and_kinds_do_not() -> None:
    batches = batcher(Clock(), kind=lambda work: work > 10)
    tickets = [batches.admit(works, 1.0) for works in ([1], [2], [30], [40, 50], [3])]
    assert answer_all(batches) == [2, 3, 1]
    assert [outcomes(ticket) for ticket in tickets] == [[2], [4], [60], [80, 100], [6]]


def test_threads_that_are_free_share_what_waits() -> None:
    batches = batcher(Clock(), calls_at_once=2)
    batches.admit([1, 2, 3], 1.0)
    assert [len(batches.take()), len(batches.take())] == [2, 1]


def test_an_empty_request_is_answered_at_once() -> None:
    assert outcomes(batcher(Clock()).admit([], 1.0)) == []


def test_a_full_queue_refuses_and_says_when_to_come_back() -> None:
    clock = Clock()
    batches = batcher(clock, seconds=2.0, max_queued=4)
    batches.admit([1, 2], 60.0)
    answer_all(batches)
    batches.admit([1], 60.0)
    running = batches.take()
    batches.admit([1, 2, 3, 4], 60.0)
    with pytest.raises(Refusal) as found:
        batches.admit([5], 60.0)
    assert (found.value.status, found.value.headers["Retry-After"]) == (503, "12")
    batches.answer(running)
    assert answer_all(batches) == [4]


def test_a_request_that_would_be_late_is_refused_before_it_waits() -> None:
    clock = Clock()
    batches = batcher(clock, seconds=1.0)
    batches.admit([1], 60.0)
    answer_all(batches)
    running = batches.admit([1, 2], 60.0)
    batch = batches.take()
    batches.admit([3], 60.0)
    with pytest.raises(Refusal) as found:
        batches.admit([4], 4.5)
    assert (found.value.status, found.value.reason) == (503, "saturated")
    batches.admit([4], 5.5)
    batches.answer(batch)
    assert answer_all(batches) == [2]
    assert outcomes(running) == [2, 4]


def test_bodies_that_come_have_places_in_the_queue() -> None:
    clock = Clock()
    batches = batcher(clock, max_queued=2)
    with batches.arriving(60.0) as first, batches.arriving(60.0):
        with pytest.raises(Refusal) as found, batches.arriving(60.0):
            pass
        assert (found.value.status, found.value.reason) == (503, "saturated")
        ticket = batches.admit([1], 60.0, first)  # whose place is its own
        with pytest.raises(Refusal):
            batches.admit([2], 60.0)
    batches.admit([3], 60.0)
    assert answer_all(batches) == [2]
    assert outcomes(ticket) == [2]


def test_slow_bodies_lose_their_places() -> None:
    clock = Clock()
    batches = batcher(clock, max_queued=2)
    with batches.arriving(60.0) as slow, batches.arriving(60.0):
        clock.now_s += ARRIVAL_S + 0.1
        with batches.arriving(60.0):
            batches.admit([1], 60.0, slow)
            with pytest.raises(Refusal):
                batches.admit([2], 60.0)


def test_a_crowd_whose_bodies_come_is_counted_in_the_expected_time() -> None:
    clock = Clock()
    batches = batcher(clock, seconds=1.0)
    batches.admit([1], 60.0)
    answer_all(batches)
    with batches.arriving(2.0), pytest.raises(Refusal, match="1 more images would take 2 s"), batches.arriving(2.0):
        pass


def test_an_idle_model_takes_any_request_whatever_the_last_one_took() -> None:
    clock = Clock()
    batches = batcher(clock, seconds=1000.0)
    batches.admit([1], 5000.0)
    answer_all(batches)
    batches.admit([1], 0.1)
    assert batches.queued == 1


def test_a_deadline_that_passed_in_the_queue_costs_no_computation() -> None:
    clock, computed = Clock(), []

    def run(works: Sequence[int]) -> Sequence[int]:
        computed.extend(works)
        return works

    batches = batcher(clock, run)
    late, in_time = batches.admit([1, 2], 1.0), batches.admit([3], 10.0)
    clock.now_s += 2
    assert answer_all(batches) == [1]
    assert (outcomes(late), outcomes(in_time), computed) == ([504, 504], [3], [3])
    assert batches.counts.expired == 2


def test_a_late_request_behind_a_punctual_one_is_dropped_too() -> None:
    clock = Clock()
    batches = batcher(clock)
    in_time, late = batches.admit([1], 10.0), batches.admit([2], 1.0)
    clock.now_s += 2
    assert answer_all(batches) == [1]
    assert (outcomes(in_time), outcomes(late)) == ([2], [504])


def test_a_deadline_that_passed_during_the_computation_is_told_and_counted() -> None:
    clock = Clock()
    batches = batcher(clock, seconds=5.0)
    ticket = batches.admit([1], 4.0)
    answer_all(batches)
    assert (outcomes(ticket), batches.counts.wasted) == ([504], 1)


def test_images_of_a_client_that_left_are_not_computed() -> None:
    computed: list[int] = []
    batches = batcher(Clock(), lambda works: computed.extend(works) or list(works))
    gone, there = batches.admit([1, 2], 1.0), batches.admit([3], 1.0)
    gone.leave()
    assert answer_all(batches) == [1]
    assert (outcomes(there), computed, batches.counts.departed) == ([3], [3], 2)


def test_an_image_at_which_the_model_fails_does_not_spoil_its_neighbours() -> None:
    def run(works: Sequence[int]) -> Sequence[int]:
        if 2 in works:
            raise ValueError("no twos")
        return works

    batches = batcher(Clock(), run)
    tickets = [batches.admit([work], 1.0) for work in (1, 2, 3)]
    answer_all(batches)
    assert [outcomes(ticket) for ticket in tickets] == [[1], [500], [3]]
    assert batches.works


def test_a_model_that_fails_again_and_again_is_broken_until_it_works() -> None:
    faults = [True] * MAX_FAULTS + [False]

    def run(works: Sequence[int]) -> Sequence[int]:
        if faults.pop(0):
            raise MemoryError
        return works

    batches = batcher(Clock(), run)
    seen = []
    for _ in range(MAX_FAULTS + 1):
        batches.admit([1], 1.0)
        answer_all(batches)
        seen.append(batches.works)
    assert seen == [True, True, False, True]


def test_closing_answers_what_was_taken_and_refuses_the_rest() -> None:
    batches = batcher(Clock(), calls_at_once=2)
    tickets = [batches.admit([number], 1.0) for number in range(5)]
    batches.start()
    batches.close()
    assert [outcomes(ticket) for ticket in tickets] == [[0], [2], [4], [6], [8]]
    with pytest.raises(Refusal) as found:
        batches.admit([1], 1.0)
    assert (found.value.reason, found.value.headers["Connection"]) == ("draining", "close")


def test_threads_wait_for_images_and_take_them() -> None:
    batches = batcher(Clock(), calls_at_once=2)
    batches.start()
    tickets = [batches.admit([number], 60.0) for number in range(8)]
    assert [ticket.future.result(HANG_S)[0].result for ticket in tickets] == [2 * number for number in range(8)]
    batches.close()
