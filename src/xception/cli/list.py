"""`xception list`"""

import msgspec

from xception.arch.compute import cost
from xception.arch.spec import Architecture
from xception.arch.variants import VARIANTS
from xception.cli.output import print_json, print_rows


class VariantRow(msgspec.Struct, frozen=True, kw_only=True):
    """A variant in the document of `xception list --json`; counts are for one image of its own size."""

    name: str
    source: str
    params: int
    buffers: int
    macs: int
    input_size: tuple[int, int, int]
    """C, H, W."""
    num_classes: int
    output_stride: int


def list_variants(*, json: bool = False) -> None:
    """Show all variants, with parameters and multiply-accumulates at their own input size.

    ```
    xception list
    xception list --json
    ```

    Args:
        json: Print one JSON document.
    """
    rows = [describe(spec) for spec in VARIANTS.values()]
    if json:
        print_json({"variants": rows, "weights": []})
        return
    print_rows(
        ("variant", "source", "input", "parameters", "MACs"),
        [
            (row.name, row.source, "x".join(map(str, row.input_size)), f"{row.params:,}", f"{row.macs / 1e9:.3f} G")
            for row in rows
        ],
    )


def describe(spec: Architecture) -> VariantRow:
    """What the table says of one variant."""
    counts = cost(spec)
    return VariantRow(
        name=spec.name,
        source=spec.source,
        params=counts.parameters,
        buffers=counts.buffers,
        macs=counts.macs,
        input_size=(spec.in_channels, spec.input_px, spec.input_px),
        num_classes=spec.num_classes,
        output_stride=spec.output_stride,
    )
