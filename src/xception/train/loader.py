"""Batches ahead of the step: prepared by worker processes, and copied to the device while it computes."""

import os
import pickle
import signal
import sys
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from types import TracebackType
from typing import NamedTuple

import numpy as np
import torch
from lightning_fabric import Fabric
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from xception import platforms
from xception.errors import EnvironmentFault, InputError
from xception.machine import cores
from xception.pipeline.overlap import overlap
from xception.train.batch_augment import Batch
from xception.train.batches import Batches

MAX_WORKERS = 16
"""Worker processes at most that are chosen by themselves."""

SIGNALS_OF_THE_RUN = (signal.SIGINT, signal.SIGTERM)
"""Signals on which a run saves its state and ends; they often reach its workers too."""

BATCHES_AHEAD = 2
"""Batches that each worker process holds ready."""


def default_workers(device: str) -> int:
    """Worker processes that suit this machine: on a device all cores but two, on a CPU, which also trains, one."""
    return max(1, min(MAX_WORKERS, cores() - 2)) if device != "cpu" else 1


class Prepared(NamedTuple):
    """A batch from a worker process, with the digests of its images."""

    batch: Batch
    digests: Tensor


Made = Prepared | InputError | EnvironmentFault
"""The product of a worker process; an error is returned, as torch would put the worker's traceback into its message."""


class BatchesOfSteps(Dataset[Made]):
    """The batches of a run as torch's loader takes them, by their step."""

    def __init__(self, batches: Batches) -> None:
        self._batches = batches

    def __getitem__(self, step: int) -> Made:
        try:
            batch = self._batches(step)
        except (InputError, EnvironmentFault) as error:
            return error
        digests = self._batches.digests.of(self._batches.places(step))
        return Prepared(batch, torch.from_numpy(digests.view(np.int64)))


def prepared_batches(
    batches: Batches, first: int, last: int, workers: int, *, pinned: bool = False
) -> Generator[Batch]:
    """Batches of the steps from `first` up to but not including `last`, in order, prepared ahead.

    Args:
        batches: batches by step.
        first: first step.
        last: step after the last one.
        workers: processes that prepare batches; with 0 it is a thread of this process.
        pinned: put them into memory from which a device copies by itself.

    Raises:
        InputError: an image cannot be used.
        EnvironmentFault: a worker process ended, or a server does not answer.
    """
    if not workers or first >= last or not _can_reach_workers(batches):
        yield from overlap(range(first, last), batches, workers=1)
        return
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "This DataLoader will create")  # as many as were asked for
        with platforms.held_back(*SIGNALS_OF_THE_RUN):
            made = iter(_loader(batches, range(first, last), workers, pinned=pinned))
    with worker_ends_told():
        yield from _noted(batches, range(first, last), made)


def _loader(batches: Batches, steps: range, workers: int, *, pinned: bool) -> DataLoader[Made]:
    return DataLoader(
        BatchesOfSteps(batches),
        batch_size=None,
        sampler=steps,
        num_workers=min(workers, len(steps)),
        collate_fn=_as_it_is,  # type: ignore[arg-type]  # torch's hint is for lists of samples
        pin_memory=pinned,
        worker_init_fn=partial(_belong_to_run, os.getpid()),
        multiprocessing_context=platforms.PROCESS_START,
        generator=torch.Generator(),  # else it draws from the one that the network's dropout uses
        prefetch_factor=BATCHES_AHEAD,
    )


def _noted(batches: Batches, steps: range, made: Iterator[Made]) -> Generator[Batch]:
    """The batches, the digests of whose images this process notes too."""
    for step, found in zip(steps, made, strict=True):
        if not isinstance(found, Prepared):
            raise found
        batches.digests.note(batches.places(step), found.digests.numpy().view(np.uint64))
        yield found.batch


def _can_reach_workers(batches: Batches) -> bool:
    """True unless workers start anew here, and something of the batches, such as a local function, cannot be sent."""
    if platforms.PROCESS_START == "fork":
        return True
    try:
        pickle.dumps(batches)
    except (pickle.PicklingError, AttributeError, TypeError):
        return False
    return True


def _as_it_is(made: Made) -> Made:
    return made


def _belong_to_run(run: int, _: int) -> None:
    """Let a worker outlive signals that reach all processes of a run: the step under way and the saving need it.

    It ends when the run closes it, and a few seconds after the run if that was killed: torch's watchdog looks for the
    parent that it has once it begins. If the run is gone by then, nothing would ever end it.

    Args:
        run: the process that started it.
    """
    if os.getppid() != run:
        os._exit(1)
    for number in SIGNALS_OF_THE_RUN:
        signal.signal(number, signal.SIG_IGN)
    sys.excepthook = partial(_end_with_run, sys.excepthook)


def _end_with_run(
    tell: Callable[..., object], kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """End a worker whose connection to its run broke, rather than `tell` it: the thread that hands over batches calls
    this, and only a run that was killed leaves it in the middle of one."""
    if isinstance(error, ConnectionError | EOFError):
        os._exit(1)
    tell(kind, error, trace)


@contextmanager
def worker_ends_told() -> Generator[None]:
    """Turn torch's error on a worker process that ended, which comes out of any line, into a sentence.

    Raises:
        EnvironmentFault: one ended.
    """
    try:
        yield
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker"):
            raise
        raise EnvironmentFault(
            f"a process that prepares batches ended ({str(error).rstrip('.')}); it may have been killed, or lacked "
            "memory (a container shares little of it by default, see docker's --shm-size): pass fewer --workers, or "
            "--workers 0, and --resume"
        ) from error


def ahead(fabric: Fabric, batches: Iterable[Batch]) -> Generator[Batch]:
    """The batches on the device that trains, each copied while the step before it is computed."""
    if fabric.device.type != "cuda":
        yield from (fabric.to_device(batch) for batch in batches)
        return
    copies = torch.cuda.Stream(fabric.device)  # type: ignore[no-untyped-call]
    waiting: tuple[Batch, torch.cuda.Event] | None = None
    for batch in batches:
        with torch.cuda.stream(copies):
            copied = fabric.to_device(batch)
        if waiting is not None:
            yield _received(*waiting)
        waiting = copied, copies.record_event()
    if waiting is not None:
        yield _received(*waiting)


def _received(batch: Batch, copied: torch.cuda.Event) -> Batch:
    """The batch for the stream that computes, which waits for its copy and keeps its memory until it has used it."""
    computing = torch.cuda.current_stream()
    computing.wait_event(copied)
    apply_to_collection(batch, Tensor, lambda tensor: tensor.record_stream(computing))
    return batch


def training_batches(
    fabric: Fabric, batches: Batches, first: int, last: int, workers: int | None = None
) -> Generator[Batch]:
    """Batches of the steps from `first` up to but not including `last`, on the device; see `prepared_batches`."""
    workers = default_workers(fabric.device.type) if workers is None else workers
    made = prepared_batches(batches, first, last, workers, pinned=fabric.device.type == "cuda")
    with closing(made):
        yield from ahead(fabric, made)
