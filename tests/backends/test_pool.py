import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.samples import HANG_S
from xception.backends.pool import HandlePool


def test_no_handle_is_in_two_hands() -> None:
    pool, held, clashes = HandlePool(["a", "b"]), set[str](), []
    lock = threading.Lock()

    def use(_: int) -> str:
        with pool.lend() as handle:
            with lock:
                clashes.append(handle in held)
                held.add(handle)
            sum(range(500))
            with lock:
                held.discard(handle)
            return handle

    with ThreadPoolExecutor(6) as threads:
        used = set(threads.map(use, range(200)))
    assert used <= {"a", "b"}
    assert not any(clashes)


def test_all_handles_are_used_at_once() -> None:
    pool, meeting = HandlePool(range(3)), threading.Barrier(3)

    def meet(_: int) -> int:
        with pool.lend() as handle:
            meeting.wait(HANG_S)
            return handle

    with ThreadPoolExecutor(3) as threads:
        assert set(threads.map(meet, range(3))) == {0, 1, 2}


def test_a_handle_comes_back_when_its_use_fails() -> None:
    pool = HandlePool(["a"])
    for _ in range(2):
        with pytest.raises(ValueError, match="use"), pool.lend():
            raise ValueError("use")
