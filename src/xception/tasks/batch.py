"""Predictions of many images to one file, in parts that a killed run does not lose."""

import hashlib
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import msgspec

from xception.data.inventory import Inventory, inventory_of
from xception.data.source import Item, Source
from xception.errors import InputError
from xception.inputs import DOCUMENT_LIMIT, parse_json, read_bytes
from xception.outputs import json_document, write_file
from xception.pipeline.engine import Engine
from xception.tasks.image_results import ResultMaker, join_parts, part_bytes, table_format
from xception.tasks.provenance import DataFingerprint, ResultProvenance, provenance_of

IMAGES_PER_PART = 2048
"""Images that a killed run does again at most, in addition to those that were under way."""

OnImages = Callable[[int], object]
"""Is told how many more images are done."""

Stamp = Callable[[ResultProvenance], ResultProvenance]
"""Completes a provenance."""

PARTS_SUFFIX, SUMMARY_SUFFIX, JOB = ".parts", ".json", "job.json"


class BatchPlan(msgspec.Struct, frozen=True, kw_only=True):
    """The work of a run, which only a run with the same plan can continue."""

    model: str
    """Digest of the bundle, with the way to the pixels and the numbers of the computation."""
    images: int
    keys: str
    """SHA-256 of the names of all images, in their order."""
    top: int
    logits: bool
    images_per_part: int


class PartState(msgspec.Struct, frozen=True, kw_only=True):
    """A part that is done."""

    seen: int
    failed: int
    fingerprint: str


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


@dataclass(frozen=True, kw_only=True)
class BatchJob:
    """A job at its place: `OUT.parts` next to the file, with a state and a file of rows for every part."""

    out: Path
    job: BatchPlan

    @property
    def folder(self) -> Path:
        return self.out.with_name(self.out.name + PARTS_SUFFIX)

    @property
    def parts(self) -> range:
        """The numbers of all parts."""
        return range(-(-self.job.images // self.job.images_per_part))

    def span(self, part: int) -> range:
        """The images of a part, by their place in the source."""
        first = part * self.job.images_per_part
        return range(first, min(first + self.job.images_per_part, self.job.images))

    def rows_file(self, part: int) -> Path:
        return self.folder / f"part-{part:08d}.{table_format(self.out)}"

    def state(self, part: int) -> PartState | None:
        """The state of a part; None if it is not done."""
        try:
            return parse_json(read_bytes(self._state_file(part), DOCUMENT_LIMIT), PartState)
        except (OSError, msgspec.MsgspecError):
            return None

    def keep(self, part: int, rows: bytes, state: PartState) -> None:
        """Put a part in its place; its state comes last, so that what has one is whole."""
        write_file(self.rows_file(part), rows)
        write_file(self._state_file(part), json_document(state))

    def _state_file(self, part: int) -> Path:
        return self.folder / f"part-{part:08d}.json"


def predict_to_file(
    engine: Engine,
    source: Source,
    out: Path,
    *,
    top: int = 5,
    logits: bool = False,
    images_per_part: int = IMAGES_PER_PART,
    stamp: Stamp = lambda provenance: provenance,
    on_images: OnImages = lambda _: None,
) -> BatchSummary:
    """Answer every image of a data set, with labels or without, into one file; a killed run is continued.

    Args:
        engine: the opened model.
        source: the images.
        out: the file, `.parquet`, `.jsonl` or `.csv`; its summary lies next to it, under its name and `.json`.
        top: likeliest classes per image.
        logits: keep all that the model gave.
        images_per_part: images that are kept at once.
        stamp: adds to the provenance when and where the command was run.
        on_images: is told how many more images are done.

    Raises:
        UsageError: no known ending.
        InputError: the file is there already, or parts of another job.
        EnvironmentFault: it cannot be written; what is done is kept.
    """
    if out.exists():
        raise InputError(f"{out} is there already; choose another place, or remove it")
    asked = {"top": top, "logits": logits, "images_per_part": images_per_part}
    batch = BatchJob(out=out, job=_job(engine, source, asked))
    _claim(batch)
    missing = [part for part in batch.parts if batch.state(part) is None]
    resumed = batch.job.images - sum(len(batch.span(part)) for part in missing)
    on_images(resumed)
    write_parts(batch, engine, source, missing, on_images)
    return _finished(batch, engine, source, resumed, stamp)


def write_parts(
    batch: BatchJob,
    engine: Engine,
    source: Source,
    parts: Sequence[int],
    on_images: OnImages = lambda _: None,
) -> None:
    """Do some parts of a job, in their order; several machines may do different ones.

    Raises:
        EnvironmentFault: a part cannot be written.
    """
    bundle, asked = engine.bundle, batch.job
    maker = ResultMaker(bundle.labels.names, bundle.model.activation, top=asked.top, logits=asked.logits)
    fingerprints = {part: DataFingerprint() for part in parts}

    def items() -> Iterator[Item]:
        for part in parts:
            yield from fingerprints[part].watch(source[index] for index in batch.span(part))

    outcomes = engine.run(items())
    targets = _targets(engine, source)
    for part in parts:
        rows = []
        for index, outcome in zip(batch.span(part), islice(outcomes, len(batch.span(part))), strict=True):
            target = source[index].target
            label = None if target is None else source.classes[target]
            rows.append(maker.row(outcome, label, None if target is None or not targets else targets[target]))
        failed = sum(row.failure is not None for row in rows)
        state = PartState(seen=len(rows) - failed, failed=failed, fingerprint=str(fingerprints.pop(part)))
        batch.keep(part, part_bytes(rows, table_format(batch.out)), state)
        on_images(len(rows))


def _targets(engine: Engine, source: Source) -> tuple[int, ...]:
    """The model's indices of the data's classes; none where it does not know them all."""
    try:
        return engine.bundle.labels.targets(source.classes)
    except InputError:
        return ()


def _job(engine: Engine, source: Source, asked: Mapping[str, int]) -> BatchPlan:
    digest = hashlib.sha256()
    for index in range(len(source)):
        digest.update(source[index].key.encode("utf-8", "surrogateescape") + b"\0")
    way = (engine.bundle.model.digest, engine.lane.mode, engine.precision, repr(engine.lane.preprocess))
    facts = {"model": " ".join(way), "images": len(source), "keys": digest.hexdigest(), **asked}
    return msgspec.convert(facts, BatchPlan)


def _claim(batch: BatchJob) -> None:
    """Make the folder of parts, or check that it is this job's.

    Raises:
        InputError: it is another one's.
    """
    file = batch.folder / JOB
    if not batch.folder.exists():
        write_file(file, json_document(batch.job))
        return
    try:
        begun = parse_json(read_bytes(file, DOCUMENT_LIMIT), BatchPlan)
    except (OSError, msgspec.MsgspecError):
        begun = None
    if begun != batch.job:
        raise InputError(
            f"{batch.folder} holds parts of another job: another model, other images or other options; remove it, or "
            "choose another place"
        )


def _finished(batch: BatchJob, engine: Engine, source: Source, resumed: int, stamp: Stamp) -> BatchSummary:
    states = [state for part in batch.parts if (state := batch.state(part))]
    join_parts((batch.rows_file(part) for part in batch.parts), batch.out)
    fingerprint = DataFingerprint(sum(int(state.fingerprint, 16) for state in states))
    options = {"top": batch.job.top, "logits": batch.job.logits}
    summary = BatchSummary(
        file=str(batch.out),
        total=batch.job.images,
        seen=sum(state.seen for state in states),
        failed=sum(state.failed for state in states),
        resumed=resumed,
        inventory=inventory_of(source),
        provenance=stamp(provenance_of([engine], source, fingerprint, options)),
    )
    write_file(batch.out.with_name(batch.out.name + SUMMARY_SUFFIX), json_document(summary))
    shutil.rmtree(batch.folder)
    return summary
