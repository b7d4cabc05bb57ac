"""One process that predicts all shards of a result, by itself or as the driver on a Ray cluster:

    python -m tests.cluster.drive BUNDLE SOURCE OUT [--ray ADDRESS] [--careless] [--deadly KEY]

With --careless, an object is first written by half: what a commit that is not atomic does. With --deadly, the image of
that key kills each process that reads it. With --together PIPE, two processes that read images wait for one another.
"""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TextIO

from PIL.Image import Image

from tests.cluster.sizes import IMAGES_PER_SHARD
from xception.data.images import open_images
from xception.data.remote_store import RemoteStore, open_store
from xception.data.source import Item, Items, Source
from xception.errors import XceptionError
from xception.pipeline.engine import Engine
from xception.scale.ray import Cluster, RayWork, predict_on_ray
from xception.tasks.batch import finish, missing_shards, predict_shards
from xception.tasks.plan import ShardReport, make_plan, settle_plan


def main() -> int:
    arguments = _arguments()
    if arguments.careless:
        _be_careless()
    try:
        _predict(arguments)
    except XceptionError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _predict(arguments: argparse.Namespace) -> None:
    opener = partial(_opened, arguments.bundle, arguments.source, arguments.deadly, arguments.together)
    store = open_store(arguments.out)
    with opener() as (engine, source):
        plan = make_plan(engine, source, table="jsonl", images_per_shard=IMAGES_PER_SHARD)
        settle_plan(store, plan)
        missing = missing_shards(store, plan)
        if arguments.ray:
            work = RayWork(opener=opener, plan=plan, store=arguments.out, folder=str(Path.cwd()))
            tell = partial(_tell, sys.stdout)
            cluster = Cluster(address=arguments.ray, actors=2, cpus_per_actor=arguments.cpus, patience_s=120)
            # Ray prints to the standard output too.
            with redirect_stdout(sys.stderr):
                predict_on_ray(work, missing, cluster, tell)
        else:
            predict_shards(engine, source, plan, store, missing)
        finish(store, plan)


def _tell(out: TextIO, report: ShardReport, _: object) -> None:
    print("done", report.file, file=out, flush=True)


@contextmanager
def _opened(bundle: str, images: str, deadly: str | None, together: Path | None) -> Iterator[tuple[Engine, Source]]:
    source = open_images([images])
    if deadly:
        source = Items(source.name, source.classes, tuple(_killing(item, deadly) for item in source))
    if together:
        items = tuple(replace(item, load=partial(_load_together, item.load, together)) for item in source)
        source = Items(source.name, source.classes, items)
    with Engine.open(bundle) as engine:
        yield engine, source


def _killing(item: Item, deadly: str) -> Item:
    return replace(item, load=_die) if item.key.endswith(deadly) else item


def _die() -> bytes:
    os.kill(os.getpid(), signal.SIGKILL)
    return b""


def _load_together(load: Callable[[], bytes | Image], pipe: Path) -> bytes | Image:
    _meet(pipe)
    return load()


def _meet(pipe: Path) -> None:
    """Wait, once per process, until another one waits here too."""
    if not _is_first(pipe.with_suffix(f".{os.getpid()}")):
        return
    pipe.open("wb" if _is_first(pipe.with_suffix(".met")) else "rb").close()


def _is_first(mark: Path) -> bool:
    try:
        mark.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def _be_careless() -> None:
    put = RemoteStore.put

    def by_half_first(self: RemoteStore, name: str, content: bytes) -> None:
        put(self, name, content[: len(content) // 2])
        put(self, name, content)

    RemoteStore.put = by_half_first  # type: ignore[method-assign]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle")
    parser.add_argument("source")
    parser.add_argument("out")
    parser.add_argument("--ray")
    parser.add_argument("--cpus", type=float, default=1)
    parser.add_argument("--careless", action="store_true")
    parser.add_argument("--deadly")
    parser.add_argument("--together", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
