"""`xception predict --out FOLDER`: many images in shards, on one computer or on many."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from xception.bundle import open_bundle
from xception.cli.engine import AnswerOptions, noting_damage
from xception.cli.options import check_at_least_one
from xception.cli.output import print_facts, say
from xception.cli.progress import progress_bar
from xception.data.images import open_images
from xception.data.remote import is_remote
from xception.data.remote_store import open_store
from xception.data.source import Source
from xception.data.store import Store
from xception.errors import UsageError
from xception.pipeline.engine import AUTO, Engine
from xception.tasks.batch import finish, missing_shards, predict_shards
from xception.tasks.image_results import find_table_format, table_format
from xception.tasks.plan import (
    IMAGES_PER_SHARD,
    BatchManifest,
    BatchPlan,
    ShardReport,
    make_plan,
    read_plan,
    same_plan,
    settle_plan,
)
from xception.tasks.watch import OnReport, Watch
from xception.tasks.workers import Workers

if TYPE_CHECKING:
    from xception.bundle import Bundle
    from xception.scale.ray import Cluster

ENDING = re.compile(r"\.[A-Za-z]\w{0,7}$")
"""The ending of a file's name, which a folder's has not."""

SHARE = re.compile(r"(\d{1,9})/(\d{1,9})", re.ASCII)

ShardTable = Literal["parquet", "jsonl.gz"]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ShardOptions:
    """The work of --out FOLDER in shards, and who does which."""

    images_per_shard: Annotated[
        int | None, Parameter(help=f"Images per file of --out FOLDER (default: {IMAGES_PER_SHARD}).")
    ] = None
    table: Annotated[ShardTable | None, Parameter(help="Form of the files of --out FOLDER (default: parquet).")] = None
    workers: Annotated[
        int | None,
        Parameter(
            help="Processes that share the work, each with its part of the shards and cores (default: only this one)."
        ),
    ] = None
    shard: Annotated[
        str | None,
        Parameter(
            help="Share of the shards to do, for schedulers that start N commands: I/N is the I-th of N. I counts from "
            "0 or from 1, and --finish joins the shares."
        ),
    ] = None
    finish: Annotated[
        bool, Parameter(help="Compute nothing: compare every shard with its hash, and write the manifest.")
    ] = False
    ray: Annotated[
        str | None,
        Parameter(
            help="Ray cluster that does the work: HOST:PORT of its head, auto for the one that this machine belongs "
            "to, or local."
        ),
    ] = None
    actors: Annotated[
        int | None, Parameter(help="Largest number of actors on the cluster (default: as many as fit).")
    ] = None
    cpus_per_actor: Annotated[float | None, Parameter(help="Cores that Ray keeps for an actor (default: 1).")] = None
    gpus_per_actor: Annotated[
        float | None, Parameter(help="GPUs that Ray keeps for an actor; 0.5 lets two share one (default: 0).")
    ] = None
    stall_after: Annotated[
        float | None,
        Parameter(help="Seconds without a finished shard after which the run stops and says what it waited for."),
    ] = None

    def check(self, out: str | None, *, is_vendor: bool) -> None:
        """Refuse what cannot be meant.

        Raises:
            UsageError: options of shards without a folder for them, or numbers that cannot be.
        """
        given = [name.replace("_", "-") for name, value in vars(self).items() if value not in (None, False)]
        if given and (out is None or is_vendor or not is_folder_of_shards(out)):
            raise UsageError(f"--{given[0]} needs shards; pass --out FOLDER, a name without an ending")
        check_at_least_one(images_per_shard=self.images_per_shard, workers=self.workers, actors=self.actors)
        self._check_ray()
        if self.stall_after is not None and not self.stall_after > 0:
            raise UsageError(f"--stall-after is {self.stall_after:g}; expected seconds, above 0")
        if self.finish and (self.shard or self.workers or self.ray):
            raise UsageError("--finish computes nothing; leave out --shard, --workers and --ray")
        self.share(range(0))

    def _check_ray(self) -> None:
        """Refuse what a cluster cannot do, and what only a cluster does.

        Raises:
            UsageError: another way to share the work, or an option of actors without a cluster.
        """
        of_actors = {
            "actors": self.actors,
            "cpus-per-actor": self.cpus_per_actor,
            "gpus-per-actor": self.gpus_per_actor,
        }
        given = [name for name, value in of_actors.items() if value is not None]
        if given and not self.ray:
            raise UsageError(f"--{given[0]} needs a Ray cluster; name it with --ray")
        if self.ray and (self.workers or self.shard):
            raise UsageError("--ray distributes the shards itself; leave out --workers and --shard")
        if (self.cpus_per_actor or 1) <= 0 or (self.gpus_per_actor or 0) < 0:
            raise UsageError("--cpus-per-actor has to be above 0, and --gpus-per-actor at least 0")

    def share(self, shards: range) -> range:
        """The shards of this command.

        Raises:
            UsageError: no such share.
        """
        if self.shard is None:
            return shards
        match = SHARE.fullmatch(self.shard)
        number, count = (int(match[1]), int(match[2])) if match else (1, 0)
        if number > count or not count:
            raise UsageError(f"--shard is {self.shard!r}; expected I/N with I from 0 to N, such as 3/8")
        return shards[number % count :: count]

    @property
    def cluster(self) -> "Cluster | None":
        """The cluster that does the work; None if there is none."""
        if not self.ray:
            return None
        from xception.scale.ray import MAX_IDLE_S, Cluster

        return Cluster(
            address=self.ray,
            actors=self.actors,
            cpus_per_actor=1 if self.cpus_per_actor is None else self.cpus_per_actor,
            gpus_per_actor=self.gpus_per_actor or 0,
            patience_s=self.stall_after or MAX_IDLE_S,
        )

    @property
    def processes(self) -> int | None:
        """Processes that are started; None if this one does the work, or a cluster."""
        if self.ray:
            return None
        return self.workers or (None if self.stall_after is None else 1)

    @property
    def packages(self) -> tuple[str, ...]:
        """The packages that writing the shards needs."""
        table = () if self.table == "jsonl.gz" or self.finish else ("pyarrow",)
        return (*table, "ray") if self.ray else table


NO_SHARDS = ShardOptions()


def is_folder_of_shards(out: str) -> bool:
    """Tell by its name whether a place is a folder of shards, and no file of predictions.

    Raises:
        UsageError: a file of no known form, or a file that is not on this machine.
    """
    name = out.rstrip("/").rpartition("/")[2]
    if out.endswith("/") or (find_table_format(name) is None and not ENDING.search(name)):
        return True
    table_format(Path(name))
    if is_remote(out):
        raise UsageError(f"{out} is a file behind a URL; name a folder there, whose shards may be read as one table")
    return False


@dataclass(frozen=True, kw_only=True)
class ShardedWork:
    """All that a process needs to take part in a run; it can be sent to another one."""

    bundle: str
    verify: bool
    sources: tuple[str, ...]
    engine: AnswerOptions

    @contextmanager
    def opened(self) -> Iterator[tuple[Engine, Source]]:
        """The model and the images, in this process."""
        source = open_images(self.sources)
        with self.open_engine(open_bundle(self.bundle, verify=self.verify), source) as engine:
            yield engine, source

    def open_engine(self, bundle: "Bundle", source: Source) -> Engine:
        """An engine whose answers do not depend on the number of cores: each inference has one."""
        is_free = self.engine.backend != AUTO and self.engine.threads is None
        return noting_damage((replace(self.engine, threads=1) if is_free else self.engine).open(bundle, source))


def finish_shards(out: str) -> BatchManifest:
    """Finish a run by its place only, and say what is there."""
    store = open_store(out)
    return _told(finish(store, read_plan(store)), store)


def predict_into_shards(
    bundle: "Bundle",
    source: Source,
    work: ShardedWork,
    out: str,
    options: ShardOptions,
    *,
    top: int,
    threshold: float | None,
    logits: bool,
) -> BatchManifest | None:
    """Do the shards that this command is to do; returns the manifest, or None if there are other commands' shards."""
    store = open_store(out)
    with work.open_engine(bundle, source) as engine:
        if options.finish:
            plan = same_plan(read_plan(store), engine, source)
            settle_plan(store, plan)
            return _told(finish(store, plan), store)
        plan = make_plan(
            engine,
            source,
            table=options.table or "parquet",
            images_per_shard=options.images_per_shard or IMAGES_PER_SHARD,
            top=top,
            threshold=threshold,
            logits=logits,
        )
        settle_plan(store, plan)
        own = options.share(plan.shards)
        missing = missing_shards(store, plan, own)
        if options.processes is None and not options.ray:
            _one_by_one(engine, source, plan, store, missing)
    if cluster := options.cluster:
        _on_cluster(work, plan, out, cluster, missing)
    elif options.processes is not None and missing:
        workers = Workers(work.opened, plan, out, options.processes, options.stall_after)
        _together(workers, plan, missing)
    if options.shard:
        print_facts({"folder": store.place, "shards": f"{len(own)} of {len(plan.shards)}, {len(missing)} of them now"})
        return None
    return _told(finish(store, plan), store, again=len(plan.shards) - len(missing))


def _one_by_one(engine: Engine, source: Source, plan: BatchPlan, store: Store, missing: list[int]) -> None:
    with progress_bar() as progress:
        task = progress.add_task("predicting", total=sum(len(plan.images_of(shard)) for shard in missing))

        def show(_: ShardReport, watch: Watch) -> None:
            progress.update(task, description=progress_sentence(watch))

        predict_shards(engine, source, plan, store, missing, partial(progress.advance, task), show)


def _together(workers: Workers, plan: BatchPlan, missing: list[int]) -> None:
    with _shown(plan, missing) as show:
        watch = workers.run(missing, show)
    _sum_up(watch)


def _on_cluster(work: ShardedWork, plan: BatchPlan, out: str, cluster: "Cluster", missing: list[int]) -> None:
    from xception.scale.ray import RayWork, predict_on_ray

    job = RayWork(opener=work.opened, plan=plan, store=out, folder=str(Path.cwd()))
    # Ray prints what befalls its nodes to the standard output, which is for results here.
    with redirect_stdout(sys.stderr), _shown(plan, missing) as show:
        watch = predict_on_ray(job, missing, cluster, show)
    _sum_up(watch)


@contextmanager
def _shown(plan: BatchPlan, missing: list[int]) -> Iterator[OnReport]:
    """A progress bar, and what moves it on."""
    with progress_bar() as progress:
        task = progress.add_task("predicting", total=sum(len(plan.images_of(shard)) for shard in missing))

        def show(report: ShardReport, watch: Watch) -> None:
            progress.update(task, advance=report.seen + report.failed, description=progress_sentence(watch))

        yield show


def _sum_up(watch: Watch) -> None:
    for name, rate in watch.rates.items():
        say(f"worker {name}: {rate.images} images, {rate.images_per_s:.1f} images/s")
    if watch.rates:
        say(efficiency_sentence(watch))


def progress_sentence(watch: Watch) -> str:
    """The state of a run in a line."""
    state = f"{watch.images_per_s:.0f} images/s, {watch.left} shards left, {watch.failed} images failed"
    if len(watch.rates) < 2:
        return state
    rate, slowest = min((rate.images_per_s, name) for name, rate in watch.rates.items())
    return f"{state}, slowest worker {slowest} with {rate:.0f} images/s"


def efficiency_sentence(watch: Watch) -> str:
    """The scaling of a run, where it was measured."""
    together, scaling = f"together {watch.images_per_s:.1f} images/s", watch.scaling
    if not scaling.is_measured:
        return together
    compared = (
        f"{scaling.together_images_per_s:.1f} images/s while all {len(scaling.together)} worked, and "
        f"{scaling.solo_images_per_s:.1f} of one while no other did"
    )
    if scaling.efficiency is None:
        return f"{together}; scaling efficiency unknown, since the shards' rates differ too much: {compared}"
    return f"{together}; scaling efficiency {scaling.efficiency:.0%}: {compared}"


def _told(manifest: BatchManifest, store: Store, *, again: int = 0) -> BatchManifest:
    there = f", of which {again} were there before" if again else ""
    print_facts(
        {
            "folder": store.place,
            "shards": f"{len(manifest.shards)}{there}",
            "images": f"{manifest.total} = {manifest.seen} seen + {manifest.failed} failed",
        }
    )
    return manifest
