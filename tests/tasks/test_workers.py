import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import pytest

from tests.support.samples import HANG_S, labelled
from tests.support.shards import content, killing, planned, whole_run
from xception.backends.base import Compute
from xception.bundle import Bundle, open_bundle
from xception.data.source import Items, Source
from xception.data.store import LocalStore
from xception.errors import EnvironmentFault
from xception.pipeline.engine import Engine
from xception.tasks import workers
from xception.tasks.batch import finish, missing_shards
from xception.tasks.plan import read_batch_manifest
from xception.tasks.watch import Watch
from xception.tasks.workers import Workers


def pictures(count: int, deadly: tuple[int, ...] = ()) -> Items:
    return killing(labelled(count), *deadly)


def hanging(count: int) -> Items:
    def hang() -> bytes:
        signal.pause()
        return b""

    source = labelled(count)
    return Items(source.name, source.classes, (*source.items[:7], type(source[7])("007", 0, hang), *source.items[8:]))


@contextmanager
def opened(bundle: Path, source: Callable[[], Items]) -> Iterator[tuple[Engine, Source]]:
    with Engine.open(open_bundle(bundle), compute=Compute(instances=1, threads=1)) as engine:
        yield engine, source()


@contextmanager
def dying() -> Iterator[tuple[Engine, Source]]:
    os._exit(3)
    yield


def run(bundle: Bundle, source: Callable[[], Items], store: LocalStore, stall_after_s: float = HANG_S) -> Watch:
    opener = partial(opened, bundle.path, source)
    with opener() as (engine, images):
        plan = planned(engine, labelled(len(images)), store)
    watch = Workers(opener, plan, store.place, 2, stall_after_s).run(missing_shards(store, plan), lambda *_: None)
    finish(store, plan)
    return watch


def test_workers_give_what_one_process_gives_and_outlive_an_image_that_kills(
    onnx_bundle: Bundle, tmp_path: Path
) -> None:
    store, alone = LocalStore(tmp_path / "workers"), LocalStore(tmp_path / "alone")
    watch = run(onnx_bundle, partial(pictures, 20, (8,)), store)
    with opened(onnx_bundle.path, partial(pictures, 20)) as (engine, _):
        sound = whole_run(engine, labelled(20), alone)
    manifest = read_batch_manifest(store)
    assert (manifest.total, manifest.failed) == (20, 1)
    changed = {name for name, held in content(store).items() if held != sound[name]}
    assert changed == {"shard-00000001.jsonl.gz", "shard-00000001.json", "manifest.json"}
    assert sum(rate.images for rate in watch.rates.values()) == 20
    assert (watch.left, watch.failed) == (0, 1)


def test_a_run_in_which_no_shard_ends_says_what_it_waits_for_and_keeps_the_rest(
    onnx_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = LocalStore(tmp_path / "out")
    others = {f"shard-0000000{number}.json" for number in (0, 2, 3)}

    def waited(pipes: list[Connection], limit_s: float) -> list[Any]:
        return [] if others <= set(store.names()) else wait(pipes, limit_s)

    monkeypatch.setattr(workers, "GRACE_S", 0)
    monkeypatch.setattr(workers, "wait", waited)
    with pytest.raises(EnvironmentFault, match=r"no shard ended for 600 s, .* for shard-00000001; what is done"):
        run(onnx_bundle, partial(hanging, 20), store)
    assert others <= set(store.names())


def test_workers_that_never_open_are_not_started_for_ever(onnx_bundle: Bundle, tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "out")
    with opened(onnx_bundle.path, partial(pictures, 7)) as (engine, _):
        plan = planned(engine, labelled(7), store)
    with pytest.raises(EnvironmentFault, match="4 processes died before they had opened the model and the images"):
        Workers(dying, plan, store.place, 1, HANG_S).run(plan.shards, lambda *_: None)


def test_a_worker_that_sees_other_images_is_refused(onnx_bundle: Bundle, tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "out")
    with opened(onnx_bundle.path, partial(pictures, 7)) as (engine, _):
        plan = planned(engine, labelled(7), store)
    opener = partial(opened, onnx_bundle.path, partial(pictures, 6))
    with pytest.raises(EnvironmentFault, match="images is 7 there and 6 here"):
        Workers(opener, plan, store.place, 1, HANG_S).run(plan.shards, lambda *_: None)
