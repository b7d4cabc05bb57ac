from threading import Event, Thread

import torch

from tests.support.samples import HANG_S
from xception.backends.torch_rounding import Rounding


def flags() -> tuple[bool, bool]:
    return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32


def test_the_setting_is_restored_behind_the_last_that_holds_it() -> None:
    before, rounding = flags(), Rounding()
    with rounding.held(tf32=True):
        with rounding.held(tf32=True):
            assert flags() == (True, True)
        assert flags() == (True, True)
    assert flags() == before
    with rounding.held(tf32=False):
        assert flags() == (False, False)
    assert flags() == before


def test_threads_that_want_the_same_do_not_wait_for_one_another() -> None:
    rounding, entered = Rounding(), Event()

    def hold() -> None:
        with rounding.held(tf32=False):
            entered.set()

    with rounding.held(tf32=False):
        thread = Thread(target=hold)
        thread.start()
        assert entered.wait(HANG_S)
    thread.join(HANG_S)


def test_a_thread_that_wants_another_waits_until_nobody_holds_it() -> None:
    rounding, seen, started = Rounding(), [], Event()

    def hold() -> None:
        started.set()
        with rounding.held(tf32=True):
            seen.append(flags())

    with rounding.held(tf32=False):
        thread = Thread(target=hold)
        thread.start()
        assert started.wait(HANG_S)
        seen.append(flags())
    thread.join(HANG_S)
    assert seen == [(False, False), (True, True)]
