"""Every variant in every export format: agreement, size and versions, as JSON for `docs/reference/export-matrix.md`.

    python -m benchmarks.export_matrix                                       everything but MindIR
    python -m benchmarks.export_matrix --formats mindir --upstream-python PYTHON  with an interpreter that has MindSpore

Weights are seeded. What was measured before is kept unless it is measured again.
"""

import argparse
import platform
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from parity import seeded
from xception.arch.compute import tensors
from xception.arch.spec import Architecture
from xception.arch.variants import VARIANTS
from xception.bundle import Bundle, Model, Network, write_bundle
from xception.errors import XceptionError
from xception.export.export import export_bundle
from xception.export.program import GraphOptions
from xception.forms import FORMS, Form, exportable
from xception.labels import Labels
from xception.preprocess import CenterCrop, Preprocess
from xception.weights import weights_bytes

DATA = Path(__file__).parents[1] / "docs/reference/export-matrix.json"

PX = 64
"""Where a graph takes any size, 48x49 px are compared too. Larger images change no operation."""


@dataclass(frozen=True)
class Column:
    """A format with the options it is measured under."""

    to: Form
    options: Mapping[str, Any]


WAYS_OF_ONNX: dict[str, dict[str, Any]] = {
    "onnx-11": {"opset": 11, "free_size": True},
    "onnx-float16": {"precision": "float16"},
}
FIXED_SIZE = ("pt2",)
"""Forms that are measured at one image size, since tracing with free sizes takes minutes."""

COLUMNS: dict[str, Column] = {
    **{form: Column(form, {} if form in FIXED_SIZE else {"free_size": True}) for form in exportable()},
    **{name: Column("onnx", options) for name, options in WAYS_OF_ONNX.items()},
}
UPSTREAM = [name for name, column in COLUMNS.items() if FORMS[column.to].needs_upstream_python]


def main() -> None:
    """Measure cell by cell; each is written as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--variants", nargs="*", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--formats", nargs="*", default=[name for name in COLUMNS if name not in UPSTREAM])
    parser.add_argument("--upstream-python", help="an interpreter that has MindSpore")
    parser.add_argument("--width", type=float, default=1.0, help="of the networks, as a fraction")
    arguments = parser.parse_args()
    for variant in arguments.variants:
        for name in arguments.formats:
            with tempfile.TemporaryDirectory() as folder:
                bundle = weights(variant, arguments.width, Path(folder))
                cell = measured(bundle, COLUMNS[name], Path(folder) / "out", arguments.upstream_python)
            found = msgspec.json.decode(DATA.read_bytes()) if DATA.exists() else {}
            found.setdefault(variant, {})[name] = {**cell, "width": arguments.width, "machine": platform.machine()}
            DATA.write_bytes(msgspec.json.format(msgspec.json.encode(found, order="sorted"), indent=1) + b"\n")
            print(variant, name, cell, flush=True)


def weights(variant: str, width: float, folder: Path) -> Bundle:
    """The variant with seeded weights, taking small images."""
    spec = VARIANTS[variant]
    gray = spec.in_channels == 1
    rows: dict[str, Any] = {"color": "gray", "mean": (0.5,), "std": (0.5,)} if gray else {}
    network = Network(variant=variant, num_classes=spec.num_classes, in_channels=spec.in_channels, width=width)
    model = Model(
        name=variant,
        network=network,
        form="weights",
        precision="float32",
        preprocess=Preprocess(crop=CenterCrop(width_px=PX, height_px=PX), **rows),
    )
    labels = Labels(tuple(f"class {index}" for index in range(spec.num_classes)))
    return write_bundle(
        folder / "weights", model, labels, {"weights.safetensors": weights_bytes(drawn(network.architecture()))}
    )


def drawn(spec: Architecture) -> dict[str, np.ndarray]:
    """Seeded tensors by our names."""
    return {
        name: seeded.tensor(name, shape, seeded.kind_of(name, shape), int(np.prod(shape[1:])) or 1)
        for name, shape in tensors(spec).items()
    }


def measured(bundle: Bundle, column: Column, out: Path, python: str | None) -> dict[str, Any]:
    """Agreement, size and tools of one export, or the sentence that says why there is none."""
    interpreter = python if FORMS[column.to].needs_upstream_python else None
    try:
        made = export_bundle(
            bundle, column.to, out, options=GraphOptions(**column.options), upstream_python=interpreter
        )
    except XceptionError as error:
        return {"reason": str(error).replace(str(bundle.path), "the bundle")}
    agreement = msgspec.to_builtins(made.model.agreement)
    kept = ("relative_diff", "top1_agreement", "samples", "batch_sizes", "sizes_px")
    tools = made.model.lineage[-1].tools
    return {**{name: agreement[name] for name in kept}, "size_bytes": made.size_bytes, "tools": tools}


if __name__ == "__main__":
    main()
