"""`xception list`"""

import msgspec

from xception.arch.compute import FlopsConvention, cost, flops
from xception.arch.spec import Architecture
from xception.arch.variants import UNVERIFIED, VARIANTS
from xception.cli.options import Json
from xception.cli.output import print_json, print_line, print_rows
from xception.convert.catalog import CATALOG
from xception.convert.weights_entry import WeightsEntry
from xception.preprocess import CropSquash, Preprocess, ShorterSide


class VariantRow(msgspec.Struct, frozen=True, kw_only=True):
    """A variant in the document of `xception list --json`; counts are for one image of its own size."""

    name: str
    source: str
    params: int
    buffers: int
    macs: int
    flops: int
    """Counted by the document's `flops_convention`."""
    input_size: tuple[int, int, int]
    """C, H, W."""
    num_classes: int
    output_stride: int
    verified: bool
    """The logits were compared with those of the source's own code."""


class ReportedRow(msgspec.Struct, frozen=True, kw_only=True):
    """An accuracy, as fractions, and who states it."""

    top1: float
    top5: float | None
    where: str
    date: str | None


class WeightsRow(msgspec.Struct, frozen=True, kw_only=True):
    """A published file in the document of `xception list --json`; `top1` and `top5` are the newest of `reported`."""

    name: str
    variant: str
    top1: float | None
    top5: float | None
    reported_by: str | None
    file: str | None
    container: str
    reference: str | None
    digest: str | None
    num_classes: int
    labels: str
    preprocess: Preprocess
    reported: tuple[ReportedRow, ...]
    port_of: str | None
    snapshot_of: str | None
    defects: tuple[str, ...]


def list_variants(*, flops_convention: FlopsConvention = "macs", json: Json = False) -> None:
    """Show all variants, with parameters and multiply-accumulates at their own input size, and all published weights.

    ```
    xception list
    xception list --flops-convention seed-table
    xception list --json
    ```

    Snapshots of a training are shown by --json only.

    Args:
        flops_convention: Add the operations as others count them: fvcore (timm's tables), paddle (PaddleClas' tables)
            or seed-table (deployment guides, at 224 px and doubled for all but Paddle's).
    """
    variants = [describe(spec, flops_convention) for spec in VARIANTS.values()]
    weights = [describe_entry(entry) for entry in CATALOG.values()]
    if json:
        print_json({"flops_convention": flops_convention, "variants": variants, "weights": weights})
        return
    _print_variants(variants, flops_convention)
    print_line()
    _print_weights([row for row in weights if not row.snapshot_of])


def describe(spec: Architecture, convention: FlopsConvention = "macs") -> VariantRow:
    """The table's row of one variant."""
    counts = cost(spec)
    return VariantRow(
        name=spec.name,
        source=spec.source,
        params=counts.parameters,
        buffers=counts.buffers,
        macs=counts.macs,
        flops=round(flops(spec, convention)),
        input_size=(spec.in_channels, spec.input_px, spec.input_px),
        num_classes=spec.num_classes,
        output_stride=spec.output_stride,
        verified=spec.name not in UNVERIFIED,
    )


def describe_entry(entry: WeightsEntry) -> WeightsRow:
    """The table's row of one published file."""
    newest = entry.reported[0] if entry.reported else None
    return WeightsRow(
        name=entry.name,
        variant=entry.variant,
        top1=newest.top1 if newest else None,
        top5=newest.top5 if newest else None,
        reported_by=newest.where if newest else None,
        file=entry.file,
        container=entry.container,
        reference=entry.reference,
        digest=str(entry.digest) if entry.digest else None,
        num_classes=entry.num_classes,
        labels=entry.label_set,
        preprocess=entry.preprocess,
        reported=tuple(ReportedRow(top1=r.top1, top5=r.top5, where=r.where, date=r.date) for r in entry.reported),
        port_of=entry.port_of,
        snapshot_of=entry.snapshot_of,
        defects=entry.defects,
    )


def _print_variants(rows: list[VariantRow], convention: FlopsConvention) -> None:
    other = [] if convention == "macs" else ["FLOPs"]
    print_rows(
        ("variant", "source", "input", "parameters", "MACs", *other),
        [
            (
                row.name,
                row.source,
                "x".join(map(str, row.input_size)),
                f"{row.params:,}",
                f"{row.macs / 1e9:.3f} G",
                *(f"{row.flops / 1e9:.3f} G" for _ in other),
            )
            for row in rows
        ],
    )
    if other:
        print_line(f"FLOPs: as {convention} counts them")


def _print_weights(rows: list[WeightsRow]) -> None:
    print_rows(
        ("weights", "classes", "resize", "input", "top-1", "top-5", "reported by"),
        [
            (
                row.name,
                str(row.num_classes),
                _resize_text(row.preprocess),
                "x".join(map(str, row.preprocess.output_px or ())),
                _percent(row.top1),
                _percent(row.top5),
                row.reported_by or "-",
            )
            for row in rows
        ],
        prose=True,
    )


def _resize_text(preprocess: Preprocess) -> str:
    if isinstance(preprocess.resize, ShorterSide):
        return str(preprocess.resize.px)
    return "crop, squash" if isinstance(preprocess.resize, CropSquash) else "squash"


def _percent(fraction: float | None) -> str:
    return "-" if fraction is None else f"{fraction:.2%}"
