"""Predictions of many images into shards, which a killed run does not lose, and from there into one file."""

import hashlib
import shutil
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

import msgspec

from xception.data.inventory import Inventory, inventory_of
from xception.data.source import Source
from xception.data.store import LocalStore, Store
from xception.errors import InputError
from xception.outputs import alone_in, json_document, write_file
from xception.pipeline.engine import Engine
from xception.pipeline.overlap import overlap
from xception.tasks.image_results import join_parts, table_format
from xception.tasks.plan import (
    IMAGES_PER_SHARD,
    MANIFEST,
    BatchManifest,
    BatchPlan,
    ShardReport,
    make_plan,
    read_report,
    report_name,
    reported_shard,
    require_version,
    settle_plan,
)
from xception.tasks.provenance import DataFingerprint, ResultProvenance, provenance_of
from xception.tasks.shard import ATTEMPT, OnImages, predict_shard
from xception.tasks.watch import OnReport, Watch

Stamp = Callable[[ResultProvenance], ResultProvenance]
"""Completes a provenance."""

PARTS_SUFFIX, SUMMARY_SUFFIX = ".parts", ".json"

READS_AT_ONCE = 16
"""Objects of a store that are read at once: an object storage answers late, but many."""


class BatchSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The document next to a file of predictions. `seen + failed = total`."""

    file: str
    total: int
    seen: int
    failed: int
    resumed: int
    """Images that were there already when the last run began."""
    inventory: Inventory
    provenance: ResultProvenance


def predict_shards(
    engine: Engine,
    source: Source,
    plan: BatchPlan,
    store: Store,
    shards: Iterable[int],
    on_images: OnImages = lambda _: None,
    on_report: OnReport = lambda *_: None,
) -> None:
    """Do some shards of a plan, in their order, but for those that are done; several machines may do different ones.

    Raises:
        EnvironmentFault: a shard cannot be written; what is done is kept.
    """
    todo = list(shards)
    watch = Watch(left=len(todo))
    for shard in todo:
        begun_s = monotonic()
        report = predict_shard(engine, source, plan, shard, store, on_images=on_images)
        watch.note("1", report, monotonic() - begun_s)
        on_report(report, watch)


def missing_shards(store: Store, plan: BatchPlan, shards: range | None = None) -> list[int]:
    """The numbers of the shards that are not done; of some of them only, if these are named."""
    asked = plan.shards if shards is None else shards
    done = _done_shards(store, plan, asked)
    return [shard for shard in asked if shard not in done]


def _done_shards(store: Store, plan: BatchPlan, asked: range) -> set[int]:
    """The shards that have a report, which is looked for among the objects: a plan from elsewhere may state any number
    of shards."""
    numbers = map(reported_shard, store.names())
    reported = [shard for shard in numbers if shard is not None and shard in asked]
    reports = overlap(reported, partial(read_report, store, plan), workers=READS_AT_ONCE)
    return {shard for shard, report in zip(reported, reports, strict=True) if report is not None}


def finish(store: Store, plan: BatchPlan) -> BatchManifest:
    """Compare every shard with its report, and write the manifest.

    Raises:
        InputError: a shard is missing, cut off or altered, or another version wrote the plan.
        EnvironmentFault: the store cannot be used.
    """
    require_version(store, plan)
    done = _done_shards(store, plan, plan.shards)
    first_missing = next((shard for shard in plan.shards if shard not in done), None)
    if first_missing is not None:
        raise InputError(
            f"{len(plan.shards) - len(done)} of the {len(plan.shards)} shards in {store.place} are not done, the first "
            f"of them {report_name(first_missing)}; run the same without --finish, which does what is missing"
        )
    reports = tuple(overlap(plan.shards, partial(_checked, store, plan), workers=READS_AT_ONCE))
    seen, failed = sum(report.seen for report in reports), sum(report.failed for report in reports)
    manifest = BatchManifest(plan=plan.digest, total=seen + failed, seen=seen, failed=failed, shards=reports)
    store.put(MANIFEST, json_document(manifest))
    for name in list(store.names()):
        if name.startswith(ATTEMPT):
            store.remove(name)
    store.tidy()
    return manifest


def _checked(store: Store, plan: BatchPlan, shard: int) -> ShardReport:
    report = read_report(store, plan, shard)
    place = f"{store.place}/{plan.rows_name(shard)}"
    if report is None:
        raise InputError(f"{store.place}/{report_name(shard)} vanished while it was read; run the same again")
    if report.seen + report.failed != len(plan.images_of(shard)):
        found = f"its report counts {report.seen + report.failed} images, and the plan {len(plan.images_of(shard))}"
    else:
        found = fault_of(read_rows_of(store, report), report)
    if found:
        raise InputError(
            f"{place} is not what was written there: {found}; remove {report_name(shard)}, and run the same "
            "without --finish, which does this shard again"
        )
    return report


def read_rows_of(store: Store, report: ShardReport) -> bytes | None:
    """The object that holds the rows of a shard; None if it is not there."""
    try:
        return store.read(report.file)
    except FileNotFoundError:
        return None


def fault_of(content: bytes | None, report: ShardReport) -> str:
    """The difference between the rows of a shard and its report; empty if there is none."""
    if content is None:
        return "it is missing"
    if len(content) != report.bytes:
        return f"it has {len(content)} bytes instead of {report.bytes}"
    return "" if hashlib.sha256(content).hexdigest() == report.sha256 else "its SHA-256 is another one"


def predict_to_file(
    engine: Engine,
    source: Source,
    out: Path,
    *,
    top: int = 5,
    threshold: float | None = None,
    logits: bool = False,
    images_per_shard: int = IMAGES_PER_SHARD,
    stamp: Stamp = lambda provenance: provenance,
    on_images: OnImages = lambda _: None,
) -> BatchSummary:
    """Answer every image of a data set, with labels or without, into one file; a killed run is continued.

    The shards lie in `OUT.parts` until all are done, and are then put together.

    Args:
        engine: the opened model.
        source: the images.
        out: the file, `.parquet`, `.jsonl`, `.jsonl.gz` or `.csv`; its summary lies next to it, under its name and
            `.json`.
        top: likeliest classes per image.
        threshold: all classes of at least this probability in place of the likeliest ones.
        logits: keep all that the model gave.
        images_per_shard: images that are kept at once.
        stamp: adds to the provenance when and where the command was run.
        on_images: is told how many more images are done.

    Raises:
        UsageError: no known ending, or a threshold that is no probability or for answers that are none.
        InputError: the file is there already, or shards of another plan.
        EnvironmentFault: it cannot be written, or another process writes it; what is done is kept.
    """
    table = table_format(out)
    refuse_existing(out)
    asked: dict[str, Any] = {"top": top, "threshold": threshold, "logits": logits}
    plan = make_plan(engine, source, table=table, images_per_shard=images_per_shard, **asked)
    folder = out.with_name(out.name + PARTS_SUFFIX)
    with alone_in(folder, "writing shards to"):
        refuse_existing(out)
        store = LocalStore(folder)
        settle_plan(store, plan)
        missing = missing_shards(store, plan)
        resumed = plan.images - sum(len(plan.images_of(shard)) for shard in missing)
        on_images(resumed)
        predict_shards(engine, source, plan, store, missing, on_images)
        manifest = finish(store, plan)
        join_parts((folder / report.file for report in manifest.shards), out)
        summary = BatchSummary(
            file=str(out),
            total=manifest.total,
            seen=manifest.seen,
            failed=manifest.failed,
            resumed=resumed,
            inventory=inventory_of(source),
            provenance=stamp(provenance_of([engine], source, _fingerprint(manifest), asked)),
        )
        write_file(out.with_name(out.name + SUMMARY_SUFFIX), json_document(summary))
        shutil.rmtree(folder)
    return summary


def refuse_existing(out: Path) -> None:
    """Refuse to write to a file that is there, which a finished run has written, or somebody else.

    Raises:
        InputError: it is there.
    """
    if out.exists():
        raise InputError(f"{out} is there already; choose another place, or remove it")


def _fingerprint(manifest: BatchManifest) -> DataFingerprint:
    return DataFingerprint(sum(int(report.fingerprint, 16) for report in manifest.shards))
