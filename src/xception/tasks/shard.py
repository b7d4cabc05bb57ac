"""One shard of predictions: its bytes and names do not depend on who computes it, when, or how often."""

import hashlib
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from typing import NoReturn

from xception.data.source import Source, insisting, part_in_order
from xception.data.store import Store
from xception.errors import DecodeError, InputError
from xception.outputs import json_document
from xception.pipeline.engine import Engine
from xception.tasks.image_results import ImageResult, ResultMaker, part_bytes
from xception.tasks.plan import BatchPlan, ShardReport, read_report, report_name
from xception.tasks.provenance import DataFingerprint
from xception.tasks.quarantine import deadly_images
from xception.tasks.targets import in_model, named

MAX_ATTEMPTS = 2
"""Processes that may die over a shard before its images are tried in processes of their own."""

ATTEMPT = "attempt-"
"""Beginning of the names of marks that a process leaves while it does a shard."""

DEADLY = "killed the process twice"
"""Reason of an image which no process survives."""

OnImages = Callable[[int], object]
"""Is told how many more images are done."""


def predict_shard(
    engine: Engine,
    source: Source,
    plan: BatchPlan,
    shard: int,
    store: Store,
    *,
    on_images: OnImages = lambda _: None,
) -> ShardReport:
    """Answer the images of a shard, unless that is done; its rows are put into the store, and then its report.

    Its batches hold images of this shard only, and are the same on any number of instances. So a shard that is done
    twice, by whatever process, writes the same bytes to the same names: no work is lost or counted double.

    Args:
        engine: the opened model.
        source: all images of the plan.
        plan: the one that the store begins with, see `settle_plan`.
        shard: its number.
        store: the place of the result.
        on_images: is told how many more images are done.

    Raises:
        EnvironmentFault: the store cannot be used, or the images' server does not answer; what is done is kept.
    """
    done = read_report(store, plan, shard)
    if done is not None:
        on_images(done.seen + done.failed)
        return done
    with _attempt(store, shard) as attempt:
        deadly: Collection[int] = ()
        if attempt > MAX_ATTEMPTS:
            deadly = deadly_images(engine.lane, [source[place] for place in plan.images_of(shard)])
        rows, fingerprint = _rows(engine, source, plan, shard, deadly, on_images)
        return _commit(store, plan, shard, rows, fingerprint)


@contextmanager
def _attempt(store: Store, shard: int) -> Iterator[int]:
    """Mark a shard as begun, for the time of a block; only the mark of a killed process stays.

    Yields:
        The number of this attempt.
    """
    attempt = next(number for number in count(1) if store.create(_mark(shard, number), b""))
    try:
        yield attempt
    except BaseException:
        store.remove(_mark(shard, attempt))
        raise
    for number in range(1, attempt + 1):
        store.remove(_mark(shard, number))


def _mark(shard: int, attempt: int) -> str:
    return f"{ATTEMPT}{shard:08d}-{attempt}"


def _rows(
    engine: Engine, source: Source, plan: BatchPlan, shard: int, deadly: Collection[int], on_images: OnImages
) -> tuple[list[ImageResult], DataFingerprint]:
    bundle, fingerprint = engine.bundle, DataFingerprint()
    names, activation = bundle.labels.names, bundle.model.activation
    maker = ResultMaker(names, activation, top=plan.top, threshold=plan.threshold, logits=plan.logits)
    targets = _targets(engine, source)
    items = map(insisting, part_in_order(source, plan.images_of(shard)))
    spared = (replace(item, load=_refuse) if place in deadly else item for place, item in enumerate(items))
    rows = []
    for place, outcome in zip(
        plan.images_of(shard), engine.run(fingerprint.watch(spared), share_the_end=False), strict=True
    ):
        target = source[place].target
        own = None if target is None or not targets else in_model(target, targets)
        rows.append(maker.row(outcome, named(target, source.classes), own))
        on_images(1)
    return rows, fingerprint


def _refuse() -> NoReturn:
    raise DecodeError(DEADLY)


def _targets(engine: Engine, source: Source) -> tuple[int, ...]:
    """The model's indices of the data's classes; none where it does not know them all."""
    try:
        return engine.bundle.labels.targets(source.classes)
    except InputError:
        return ()


def _commit(
    store: Store, plan: BatchPlan, shard: int, rows: list[ImageResult], fingerprint: DataFingerprint
) -> ShardReport:
    content = part_bytes(rows, plan.table)
    failed = sum(row.failure is not None for row in rows)
    report = ShardReport(
        plan=plan.digest,
        file=plan.rows_name(shard),
        seen=len(rows) - failed,
        failed=failed,
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        fingerprint=str(fingerprint),
    )
    store.put(report.file, content)
    store.put(report_name(shard), json_document(report))
    return report
