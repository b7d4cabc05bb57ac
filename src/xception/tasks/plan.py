"""The documents of predictions in shards: the plan, a report for each shard, and the manifest of them all."""

import hashlib
import re
from collections.abc import Callable
from itertools import islice
from typing import Annotated, TypeVar

import msgspec

from xception.data.source import Source
from xception.data.store import Store
from xception.errors import InputError
from xception.inputs import parse_json
from xception.outputs import json_document
from xception.pipeline.engine import Engine
from xception.pipeline.prediction import check_threshold
from xception.pipeline.prepare import Damage
from xception.tasks.image_results import TableFormat
from xception.tasks.provenance import JudgedModel, model_facts, versions_behind
from xception.version import __version__

PLAN, MANIFEST = "plan.json", "manifest.json"

IMAGES_PER_SHARD = 1000
"""Images of a shard by default: all that a killed process has to do again."""

IMAGES_PER_UPDATE = 4096
"""Images of a listing whose facts are in memory at a time."""

WRITERS: dict[TableFormat, tuple[str, ...]] = {"parquet": ("pyarrow",)}
"""Packages that write the rows, by their form."""

T = TypeVar("T")

Images = Annotated[int, msgspec.Meta(ge=0)]
AtLeastOne = Annotated[int, msgspec.Meta(ge=1)]
Hexadecimal = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]+$")]
RowsName = Annotated[str, msgspec.Meta(pattern=r"^shard-[0-9]{8,}\.[a-z.]+$")]

REPORT_NAME = re.compile(r"shard-(\d{8,})\.json", re.ASCII)


class BatchPlan(msgspec.Struct, frozen=True, kw_only=True):
    """The work of a run, and everything that its result depends on: processes with the same plan may share it.

    A shard is a slice of the listing, of whatever form the data are: images in tar files are read one by one, so that
    the borders of those files mean nothing.
    """

    versions: dict[str, str]
    """The versions of this package and of all others that a byte of the result may depend on."""
    model: JudgedModel
    device: str
    """The kind of device that computes, `cpu` or `cuda`."""
    damage: Damage
    """Treatment of JPEG files whose data are broken."""
    listing: str
    """SHA-256 of the name, the class and, where the listing knows it, the size of every image, in their order."""
    images: Images
    images_per_shard: AtLeastOne
    top: AtLeastOne
    threshold: float | None = None
    """Probability from which on all classes of an image are named, in place of the likeliest ones."""
    logits: bool
    table: TableFormat

    @property
    def shards(self) -> range:
        """The numbers of all shards."""
        return range(-(-self.images // self.images_per_shard))

    def images_of(self, shard: int) -> range:
        """The images of a shard, by their place in the source."""
        first = shard * self.images_per_shard
        return range(first, min(first + self.images_per_shard, self.images))

    def rows_name(self, shard: int) -> str:
        """Name of the object that holds the rows of a shard."""
        return f"shard-{shard:08d}.{self.table}"

    @property
    def digest(self) -> str:
        """SHA-256 of the plan's document."""
        return hashlib.sha256(json_document(self)).hexdigest()


class ShardReport(msgspec.Struct, frozen=True, kw_only=True):
    """A shard that is done; it is written behind the rows, so that the shard counts from then on."""

    plan: str
    """Digest of the plan."""
    file: RowsName
    seen: Images
    failed: Images
    bytes: int
    sha256: Hexadecimal
    fingerprint: Hexadecimal
    """Fingerprint of the images' content and classes; those of all shards add up to that of the data set."""


class BatchManifest(msgspec.Struct, frozen=True, kw_only=True):
    """The document of a whole result, written last: what is not in it is no part of the result.

    `seen + failed = total`, and each shard is counted once.
    """

    plan: str
    total: int
    seen: int
    failed: int
    shards: tuple[ShardReport, ...]


def report_name(shard: int) -> str:
    """Name of a shard's report."""
    return f"shard-{shard:08d}.json"


def reported_shard(name: str) -> int | None:
    """The number of the shard whose report an object is by its name; None if it is none."""
    found = REPORT_NAME.fullmatch(name)
    return int(found[1]) if found else None


def make_plan(
    engine: Engine,
    source: Source,
    *,
    table: TableFormat,
    images_per_shard: int = IMAGES_PER_SHARD,
    top: int = 5,
    threshold: float | None = None,
    logits: bool = False,
) -> BatchPlan:
    """The plan of answering every image of a source.

    Raises:
        UsageError: a threshold that is no probability, or for answers that are none.
    """
    if threshold is not None:
        check_threshold(threshold, engine.bundle)
    model = model_facts(engine)
    looking = () if engine.lane.damage == "ignored" else ("simplejpeg",)
    return BatchPlan(
        versions=versions_behind([model], *WRITERS.get(table, ()), *looking),
        model=model,
        device=engine.session.facts.device.partition(":")[0],
        damage=engine.lane.damage,
        listing=_listing_digest(source),
        images=len(source),
        images_per_shard=images_per_shard,
        top=top,
        threshold=threshold,
        logits=logits,
        table=table,
    )


def same_plan(plan: BatchPlan, engine: Engine, source: Source) -> BatchPlan:
    """The plan of an engine and a source with the options of another plan: the same one if that was made of them."""
    return make_plan(
        engine,
        source,
        table=plan.table,
        images_per_shard=plan.images_per_shard,
        top=plan.top,
        threshold=plan.threshold,
        logits=plan.logits,
    )


def _listing_digest(source: Source) -> str:
    digest = hashlib.sha256("\0".join(source.classes).encode("utf-8", "surrogateescape"))
    size_of: Callable[[int], int | None] = getattr(source, "size_of", lambda _: None)
    facts = (f"\n{item.key}\0{item.target}\0{size_of(place)}" for place, item in enumerate(source))
    while together := "".join(islice(facts, IMAGES_PER_UPDATE)):
        digest.update(together.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def settle_plan(store: Store, plan: BatchPlan) -> None:
    """Write the plan as the first object of a store, or check that the one which is there is the same.

    Raises:
        InputError: the store holds the result of another plan.
        EnvironmentFault: it cannot be used.
    """
    if store.create(PLAN, json_document(plan)):
        return
    if differences := _differences(read_plan(store), plan):
        raise InputError(
            f"{store.place} holds a result of another plan: {differences}; run what began it, or choose another place"
        )


def require_plan(store: Store, plan: BatchPlan, own: BatchPlan) -> None:
    """Refuse a machine that would not do the same as the one which wrote the plan, or sees another store.

    Args:
        store: the place of the result, as this machine sees it.
        plan: the plan that it holds.
        own: the plan of the bundle, the images and the packages that this machine has.

    Raises:
        InputError: it differs, or the store does not hold it.
        EnvironmentFault: the store cannot be used.
    """
    if differences := _differences(plan, own):
        raise InputError(
            f"this machine does not fit the plan of {store.place}: {differences}; give it the packages, the bundle and "
            "the images of the machine that began, and run the same again"
        )
    try:
        is_there = store.read(PLAN) == json_document(plan)
    except FileNotFoundError:
        is_there = False
    if not is_there:
        raise InputError(
            f"{store.place} is another place here, without the plan of this run; expected a folder that all machines "
            "share, or a URL"
        )


def require_version(store: Store, plan: BatchPlan) -> None:
    """Refuse to finish what another version of this package began; the other packages have done their part by then.

    Raises:
        InputError: another version wrote the plan.
    """
    if (begun := plan.versions.get("xception")) != __version__:
        raise InputError(
            f"{store.place} was begun by version {begun}, and this is {__version__}; finish it with that one"
        )


def _differences(there: BatchPlan, here: BatchPlan) -> str:
    """All that differs in two plans; empty if nothing does."""
    names = [name for name in BatchPlan.__struct_fields__ if getattr(there, name) != getattr(here, name)]
    return "; ".join(text for name in names for text in _difference(name, getattr(there, name), getattr(here, name)))


def _difference(name: str, there: object, here: object) -> list[str]:
    if isinstance(there, JudgedModel) and isinstance(here, JudgedModel):
        fields = [field for field in JudgedModel.__struct_fields__ if getattr(there, field) != getattr(here, field)]
        return [
            text
            for field in fields
            for text in _difference(f"{name}.{field}", getattr(there, field), getattr(here, field))
        ]
    if isinstance(there, dict) and isinstance(here, dict):
        return [
            text
            for key in {**there, **here}
            if there.get(key) != here.get(key)
            for text in _difference(f"the version of {key}", there.get(key), here.get(key))
        ]
    if name == "listing":
        return ["other images, or in another order"]
    return [f"{name} is {_shown(there)} there and {_shown(here)} here"]


MAX_VALUE_CHARACTERS = 60


def _shown(value: object) -> str:
    text = str(value)
    return text if len(text) <= MAX_VALUE_CHARACTERS else f"{text[:MAX_VALUE_CHARACTERS]}..."


def read_plan(store: Store) -> BatchPlan:
    """The plan that a store begins with.

    Raises:
        InputError: there is none, or it is none of this version.
    """
    return _read(store, PLAN, BatchPlan, "run the same without --finish first, or name the folder of a sharded result")


def read_batch_manifest(store: Store) -> BatchManifest:
    """The manifest of a finished result.

    Raises:
        InputError: there is none, so that the result is not whole.
    """
    return _read(store, MANIFEST, BatchManifest, "its shards are not all done: finish the run with `xception predict`")


def read_report(store: Store, plan: BatchPlan, shard: int) -> ShardReport | None:
    """The report of a shard; None if it is not done, or was done for another plan."""
    try:
        report = parse_json(store.read(report_name(shard)), ShardReport)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None
    return report if (report.plan, report.file) == (plan.digest, plan.rows_name(shard)) else None


def _read(store: Store, name: str, kind: type[T], advice: str) -> T:
    try:
        return parse_json(store.read(name), kind)
    except FileNotFoundError as error:
        raise InputError(f"{store.place} holds no {name}; {advice}") from error
    except msgspec.MsgspecError as error:
        raise InputError(
            f"{store.place}/{name} is none that this version wrote: {error}; choose another place for a new result"
        ) from error
