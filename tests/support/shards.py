"""Runs over shards of small pictures, in tests of their parts."""

import os
import signal
from dataclasses import replace

from xception.data.source import Items
from xception.data.store import LocalStore
from xception.pipeline.engine import Engine
from xception.tasks.batch import finish, predict_shards
from xception.tasks.plan import BatchPlan, make_plan, settle_plan


def planned(engine: Engine, source: Items, store: LocalStore, *, logits: bool = False) -> BatchPlan:
    plan = make_plan(engine, source, table="jsonl.gz", images_per_shard=6, logits=logits)
    settle_plan(store, plan)
    return plan


def whole_run(engine: Engine, source: Items, store: LocalStore, *, logits: bool = False) -> dict[str, bytes]:
    plan = planned(engine, source, store, logits=logits)
    predict_shards(engine, source, plan, store, plan.shards)
    finish(store, plan)
    return content(store)


def content(store: LocalStore) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in store.root.iterdir()}


def killing(source: Items, *places: int) -> Items:
    """The same images, of which those at some places kill whoever reads them."""

    def die() -> bytes:
        os.kill(os.getpid(), signal.SIGKILL)
        return b""

    items = tuple(replace(item, load=die) if place in places else item for place, item in enumerate(source))
    return Items(source.name, source.classes, items)
