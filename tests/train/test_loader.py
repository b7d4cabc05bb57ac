import os
import signal
import socket
from contextlib import closing
from multiprocessing import resource_sharer

import numpy as np
import pytest
import torch
from torch.utils.data import get_worker_info

from tests.support.samples import labelled
from tests.train.test_batches import COUNT, batches
from xception import platforms
from xception.data.source import Item, Items
from xception.errors import EnvironmentFault
from xception.train import loader
from xception.train.loader import default_workers, prepared_batches

STEPS = 6


def watched(source: Items, seen: list[int]) -> Items:
    """The source, whose images note the process that reads them."""

    def item(one: Item) -> Item:
        def load() -> object:
            seen.append(os.getpid())
            return one.load()

        return Item(one.key, one.target, load)

    return Items(source.name, source.classes, tuple(item(one) for one in source))


@pytest.mark.parametrize("workers", [0, 2])
def test_images_are_read_by_the_workers_where_there_are_any(workers: int) -> None:
    seen: list[int] = []
    assert len(list(prepared_batches(batches(watched(labelled(COUNT), seen)), 0, STEPS, workers))) == STEPS
    assert bool(seen) is (workers == 0)


@pytest.mark.parametrize("workers", [0, 2])
def test_the_images_that_workers_read_are_known_to_the_run(workers: int) -> None:
    made, expected = batches(), batches()
    list(prepared_batches(made, 0, made.per_epoch, workers))
    assert made.digests._is_known.all()
    assert np.array_equal(made.digests.all(), expected.digests.all())


def killing(source: Items) -> Items:
    """The source, whose last image ends the worker that reads it."""

    def load() -> object:
        assert get_worker_info() is not None
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError

    last = source.items[-1]
    return Items(source.name, source.classes, (*source.items[:-1], Item(last.key, last.target, load)))


def test_a_worker_that_is_killed_ends_the_run_in_a_sentence() -> None:
    with pytest.raises(EnvironmentFault, match=r"a process that prepares batches ended .* --workers 0, and --resume"):
        list(prepared_batches(batches(killing(labelled(COUNT))), 0, STEPS, 2))


def test_workers_leave_signals_to_the_run_and_end_with_it() -> None:
    others = _children()
    made = prepared_batches(batches(), 0, 40, 2)
    with closing(made):
        next(made)
        children = _children() - others
        assert children
        for child in children:
            os.kill(child, signal.SIGTERM)
            os.kill(child, signal.SIGINT)
        assert len([next(made) for _ in range(20)]) == 20
        assert children <= _children()
    assert not _children() & children


def test_a_worker_that_is_not_ready_yet_outlives_signals_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "_belong_to_run", lambda *_: None)
    with closing(prepared_batches(batches(), 0, 40, 2)) as made:
        next(made)
        for child in _children():
            os.kill(child, signal.SIGTERM)
        assert len([next(made) for _ in range(20)]) == 20


def test_a_worker_whose_run_is_gone_before_it_begins_ends() -> None:
    child = os.fork()
    if not child:
        loader._belong_to_run(os.getpid(), 0)  # of its own parent it is none
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1


def test_a_worker_whose_run_is_killed_while_it_takes_a_batch_ends_without_a_word(
    capfd: pytest.CaptureFixture[str],
) -> None:
    run, child = os.getpid(), os.fork()
    if not child:
        loader._belong_to_run(run, 0)
        batch = resource_sharer.DupFd(0)
        with socket.socket(socket.AF_UNIX) as run_that_ends:
            run_that_ends.connect(vars(batch)["_id"][0])
        resource_sharer.stop()  # returns after the connection above was looked at
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    assert capfd.readouterr().err == ""


def _children() -> set[int]:
    """Worker processes of this one."""
    from multiprocessing import active_children

    return {child.pid for child in active_children() if child.pid is not None}


def test_what_cannot_be_sent_to_another_process_is_prepared_by_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platforms, "PROCESS_START", "spawn")
    seen: list[int] = []
    made = list(prepared_batches(batches(watched(labelled(COUNT), seen)), 0, STEPS, 2))
    assert set(seen) == {os.getpid()}
    assert torch.equal(made[2].levels, batches()(2).levels)


@pytest.mark.parametrize(("cores", "expected"), [(1, 1), (2, 1), (16, 14), (96, 16)])
def test_a_device_gets_the_cores_that_the_run_does_not_need(
    cores: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xception.train.loader.cores", lambda: cores)
    assert default_workers("cuda") == expected
    assert default_workers("cpu") == 1
