"""Shards on several processes of one computer, which may die: what they did is kept, and others take their place."""

import logging
import signal
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from time import monotonic
from typing import Any

from xception import platforms
from xception.data.remote_store import open_store
from xception.data.source import Source
from xception.errors import EnvironmentFault
from xception.pipeline.engine import Engine
from xception.tasks.faults import ToldFault
from xception.tasks.plan import BatchPlan, ShardReport, report_name, same_plan, settle_plan
from xception.tasks.shard import MAX_ATTEMPTS, predict_shard
from xception.tasks.watch import Company, OnReport, Watch

Opener = Callable[[], AbstractContextManager[tuple[Engine, Source]]]
"""Opens the model and the images of a plan in a new process, to which it is pickled."""

MAX_DEATHS = MAX_ATTEMPTS + 2
"""Workers that may die over a shard, or before they are ready."""

GRACE_S = 5
"""Seconds in which a worker that is told to stop leaves its shard as if it had never begun."""


@dataclass
class _Worker:
    """A process with its end of the pipe, and the shard that it has."""

    process: BaseProcess
    pipe: Connection
    ready: bool = False
    shard: int | None = None
    since_s: float = field(default_factory=monotonic)


class Workers:
    """Processes that each do one shard at a time.

    Args:
        opener: opens the model and the images, in each of them.
        plan: what the store begins with.
        place: the store's folder or URL.
        count: processes, among which the cores are divided.
        stall_after_s: seconds in which a shard must end; None waits for ever.
    """

    def __init__(self, opener: Opener, plan: BatchPlan, place: str, count: int, stall_after_s: float | None) -> None:
        self._opener, self._plan, self._place, self._count = opener, plan, place, count
        self._stall_after_s = stall_after_s
        self._workers: dict[int, _Worker] = {}
        self._deaths: Counter[int | None] = Counter()
        self._ended_s = monotonic()

    def run(self, shards: Iterable[int], on_report: OnReport) -> Watch:
        """Do some shards, each on the next worker that is free.

        Raises:
            EnvironmentFault: workers die again and again, or no shard ends for too long; what is done is kept.
            XceptionError: the first error of a worker.
        """
        todo = deque(shards)
        count = min(self._count, len(todo))
        company = Company(count, len(todo))
        watch = Watch(left=len(todo), scaling=company.scaling)
        try:
            while watch.left:
                for number in range(count):
                    if number not in self._workers and todo:
                        self._workers[number] = self._start(number)
                for number in self._heard_from():
                    self._hear(number, todo, company, watch, on_report)
                    self._share_out(todo, company)
            return watch
        finally:
            self._stop()

    def _start(self, number: int) -> _Worker:
        context = get_context("spawn")
        ours, theirs = context.Pipe()
        part = (number, self._count)
        process = context.Process(target=_work, args=(self._opener, self._plan, self._place, part, theirs))
        process.start()
        theirs.close()
        return _Worker(process, ours)

    def _heard_from(self) -> list[int]:
        """The workers that have said something or died; waits for one."""
        limit_s = None
        if self._stall_after_s is not None:
            limit_s = max(0.0, self._ended_s + self._stall_after_s - monotonic())
        pipes: dict[Any, int] = {worker.pipe: number for number, worker in self._workers.items()}
        heard = wait(list(pipes), limit_s)
        if not heard and limit_s is not None:
            raise EnvironmentFault(self._stall_sentence())
        return [pipes[pipe] for pipe in heard]

    def _stall_sentence(self) -> str:
        waits = [
            f"process {worker.process.pid} for {report_name(worker.shard).removesuffix('.json')}"
            if worker.shard is not None
            else f"process {worker.process.pid} to open the model and the images"
            for worker in self._workers.values()
            if worker.shard is not None or not worker.ready
        ]
        return (
            f"no shard ended for {self._stall_after_s:g} s, while this run waited for {', '.join(waits)}; what is done "
            "is kept: look what holds it up, then run the same again, with a longer --stall-after if shards take longer"
        )

    def _hear(self, number: int, todo: "deque[int]", company: Company, watch: Watch, on_report: OnReport) -> None:
        worker = self._workers[number]
        try:
            said = worker.pipe.recv()
        except (EOFError, OSError):
            company.lose(number)
            self._bury(number, todo)
            return
        if isinstance(said, ToldFault):
            raise said.error()
        if isinstance(said, ShardReport):
            self._ended_s = monotonic()
            done = watch.note(str(number + 1), said, self._ended_s - worker.since_s)
            company.end(number, done.images_per_s)
            on_report(said, watch)
        worker.ready, worker.shard = True, None

    def _share_out(self, todo: "deque[int]", company: Company) -> None:
        """Give shards to the workers that may begin one."""
        ready = [number for number, worker in self._workers.items() if worker.ready]
        for number in company.begin(ready, len(todo)):
            worker = self._workers[number]
            worker.shard, worker.since_s = todo.popleft(), monotonic()
            with suppress(OSError):  # It died, which is heard next.
                worker.pipe.send(worker.shard)

    def _bury(self, number: int, todo: "deque[int]") -> None:
        """Give the shard of a dead worker to the next one.

        Raises:
            EnvironmentFault: too many died over it.
        """
        worker = self._workers.pop(number)
        worker.process.join()
        worker.pipe.close()
        if worker.shard is not None:
            todo.appendleft(worker.shard)
        self._deaths[worker.shard] += 1
        if (worker.shard is not None or not worker.ready) and self._deaths[worker.shard] >= MAX_DEATHS:
            over = "before they had opened the model and the images"
            if worker.shard is not None:
                over = f"over {report_name(worker.shard).removesuffix('.json')}, though its images can be decoded"
            raise EnvironmentFault(
                f"{MAX_DEATHS} processes died {over}, the last with exit code {worker.process.exitcode}; what is "
                "done is kept: run the same with fewer --workers or a smaller --batch, if memory is short"
            )

    def _stop(self) -> None:
        for worker in self._workers.values():
            worker.pipe.close()
            if worker.shard is not None or not worker.ready:
                worker.process.terminate()
        for worker in self._workers.values():
            worker.process.join(GRACE_S)
            worker.process.kill()
            worker.process.join()
        self._workers.clear()


def _work(opener: Opener, plan: BatchPlan, place: str, part: tuple[int, int], pipe: Connection) -> None:
    """Do the shards whose numbers come through a pipe, until it is closed."""
    platforms.keep_to_cores(*part)
    # The parent process gets the same interruption, and reports it once.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.disable(logging.WARNING)
    with _told_faults(pipe), opener() as (engine, source):
        # Before this there is no mark of a begun shard to remove, and libraries make other errors of a SystemExit.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
        store = open_store(place)
        settle_plan(store, same_plan(plan, engine, source))
        pipe.send(None)
        while True:
            pipe.send(predict_shard(engine, source, plan, pipe.recv(), store))


@contextmanager
def _told_faults(pipe: Connection) -> Iterator[None]:
    """Tell the other end of an error; one that has gone ends this process in silence."""
    try:
        yield
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return
    except Exception as error:
        with suppress(BrokenPipeError, ConnectionResetError):
            pipe.send(ToldFault.from_error(error))
