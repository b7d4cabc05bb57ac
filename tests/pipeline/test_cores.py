import threading

import pytest

from tests.support.samples import HANG_S
from xception import machine
from xception.pipeline.cores import SPARE_WORKERS, Cores
from xception.pipeline.overlap import overlap


class Watch:
    """How many cores are held at once, at most."""

    def __init__(self, cores: Cores) -> None:
        self._cores = cores
        self._lock = threading.Lock()
        self.held = self.most = 0

    def __call__(self, _: int) -> None:
        with self._cores.lend():
            with self._lock:
                self.held += 1
                self.most = max(self.most, self.held)
            sum(range(2000))
            with self._lock:
                self.held -= 1


@pytest.mark.parametrize("count", [1, 3])
def test_one_more_place_is_lent_than_there_are_cores(count: int) -> None:
    watch = Watch(Cores(count))
    list(overlap(range(200), watch, workers=8))
    assert 0 < watch.most <= count + SPARE_WORKERS


def test_all_places_may_be_lent_at_once() -> None:
    cores, meeting = Cores(3), threading.Barrier(3 + SPARE_WORKERS)

    def meet(_: int) -> bool:
        with cores.lend():
            return meeting.wait(HANG_S) >= 0

    assert list(overlap(range(4), meet, workers=Cores(3).workers)) == [True] * 4


def test_cores_come_back_when_the_work_fails() -> None:
    cores = Cores(1)
    for _ in range(2):
        with pytest.raises(ValueError, match="work"), cores.lend():
            raise ValueError("work")


def test_by_default_all_cores_of_the_machine_are_lent() -> None:
    assert Cores().count == machine.cores()
