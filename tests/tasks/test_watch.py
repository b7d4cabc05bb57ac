"""The rates of workers, whose time is counted here in turns, and what they tell of scaling."""

from collections.abc import Callable

import pytest

from xception.tasks.plan import ShardReport
from xception.tasks.watch import SHARDS_PER_SOLO, Company, Scaling, Watch, WorkerRate, solo_moments

IMAGES = 1000


def run(
    shards: int,
    seconds: Callable[[int, int, int], float],
    count: int = 2,
    *,
    deaths: tuple[int, ...] = (),
    is_measured: bool = True,
) -> tuple[Scaling, float]:
    """Do all shards of a run by workers, of which `seconds` tells how long the `nth` shard of a process takes by the
    number of those that are at work when it begins; after the shards that are named, the process dies.

    Args:
        shards: how many there are.
        seconds: (worker, nth, at work) to seconds.
        count: workers.
        is_measured: a worker does some shards by itself.
        deaths: shards, by their count, after which their process ends.

    Returns:
        What the rates tell, and the seconds of the whole run.
    """
    company, left, now, ended = Company(count, shards if is_measured else 0), shards, 0.0, 0
    nth, busy = [0] * count, {}
    while left or busy:
        begun = company.begin(range(count), left)
        left, at_work = left - len(begun), len(busy) + len(begun)
        for number in begun:
            took = seconds(number, nth[number], at_work)
            busy |= {number: (now + took, took)}
        number = min(busy, key=lambda each: busy[each][0])
        now, took = busy.pop(number)
        company.end(number, IMAGES / took)
        ended, nth[number] = ended + 1, nth[number] + 1
        if ended in deaths:
            company.lose(number)
            nth[number] = 0
    return company.scaling, now


def slow_at_first(number: int, nth: int, at_work: int) -> float:
    """A shard takes a second, a fifth more among others, and half a second more as the first of a process."""
    return (1.2 if at_work > 1 else 1.0) + 0.5 * (nth == 0)


def test_the_first_shard_of_a_process_tells_nothing_of_its_rate() -> None:
    scaling, _ = run(100, slow_at_first)
    assert scaling.solo == [pytest.approx(IMAGES)]
    assert scaling.efficiency == pytest.approx(1 / 1.2)
    after_deaths, _ = run(100, slow_at_first, deaths=(10, 30, 60))
    assert after_deaths.efficiency == pytest.approx(1 / 1.2)


def test_a_shard_during_which_another_worker_waited_is_compared_with_none() -> None:
    def uneven(number: int, nth: int, at_work: int) -> float:
        return (1.0 + 0.1 * number) * (1.0 if at_work > 1 else 0.5)

    scaling, _ = run(400, uneven)
    assert scaling.solo == [pytest.approx(2 * IMAGES)] * 4
    assert {round(rate) for rate in scaling.together[0]} == {IMAGES}
    assert {round(rate) for rate in scaling.together[1]} == {round(IMAGES / 1.1)}
    assert 380 < sum(map(len, scaling.together)) < 396


@pytest.mark.parametrize("shards", [SHARDS_PER_SOLO, 2 * SHARDS_PER_SOLO - 1])
def test_nobody_works_by_itself_in_a_short_run(shards: int) -> None:
    scaling, _ = run(shards, slow_at_first)
    assert (scaling.is_measured, scaling.efficiency) == (False, None)


def test_one_worker_by_itself_has_no_scaling() -> None:
    assert run(1000, slow_at_first, count=1)[0].efficiency is None


@pytest.mark.parametrize(("count", "shards"), [(2, 100), (2, 1000), (8, 400), (8, 4000)])
def test_workers_wait_for_another_a_small_part_of_the_time(count: int, shards: int) -> None:
    def uneven(number: int, nth: int, at_work: int) -> float:
        return 1 + 0.02 * number

    passed_s, unmeasured_s = (run(shards, uneven, count, is_measured=each)[1] for each in (True, False))
    assert unmeasured_s < passed_s < 1.03 * unmeasured_s


def test_the_shards_of_one_by_itself_are_spread_over_the_run() -> None:
    assert solo_moments(2, 400) == [350, 250, 150, 50]
    assert len(solo_moments(8, 100_000)) == 5


def test_nobody_waits_for_a_worker_that_is_not_there_yet() -> None:
    company = Company(2, 100)
    for left in range(100, 0, -1):
        assert company.begin([0], left) == [0]
        company.end(0, 1.0)


@pytest.mark.parametrize(
    ("together", "alone"),
    [
        pytest.param([100.0] * 8, [90.0], id="one by itself was slower"),
        pytest.param([100.0, 140.0] * 4, [150.0], id="shards differ"),
        pytest.param([100.0] * 8, [105.0, 140.0], id="one by itself was now fast and now slow"),
    ],
)
def test_rates_that_do_not_fit_together_tell_no_efficiency(together: list[float], alone: list[float]) -> None:
    assert Scaling((together, together), alone).efficiency is None
    assert Scaling((together, together), alone).is_measured
    assert Scaling(([100.0] * 8, [98.0] * 8), [104.0, 102.0]).efficiency == pytest.approx(0.961, abs=0.001)


def test_a_watch_counts_what_each_worker_did_by_the_time_that_it_took() -> None:
    watch, report = Watch(left=3), ShardReport(plan="", file="", seen=80, failed=10, bytes=0, sha256="", fingerprint="")
    assert watch.images_per_s == 0.0
    assert watch.note("a", report, 1.0).images_per_s == 90.0
    watch.note("b", report, 2.0)
    watch.note("a", report, 3.0)
    assert (watch.left, watch.failed) == (0, 30)
    assert watch.rates == {"a": WorkerRate(180, 4.0), "b": WorkerRate(90, 2.0)}
    assert (watch.rates["a"].images_per_s, WorkerRate().images_per_s) == (45.0, 0.0)
    assert watch.images_per_s > 0
