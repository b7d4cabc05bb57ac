"""The pack for Ascend: a graph per batch size, prepared inputs, AIPP, calibration tensors, and the next steps."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from xception.data.decode import loaded_image
from xception.export.packs.pack import (
    Expected,
    Sample,
    calibration_items,
    pixels_of,
    write_goldens,
    write_graphs,
    write_pack,
)
from xception.export.packs.readme import ascend_readme
from xception.export.request import ExportRequest
from xception.interchange import aipp, ascend, vastai
from xception.interchange.ascend import InfoRow
from xception.preprocess import whole_levels

ASCEND_BATCH_SIZES = (1, 4, 8, 16, 32)
ASCEND_INPUT, ASCEND_OUTPUT = "image", "class"


def write(request: ExportRequest) -> Path:
    """Write the pack, as `write_pack`."""
    return write_pack(request, _contents)


def _contents(folder: Path, request: ExportRequest, sample: Sample, expected: Expected) -> Mapping[str, object]:
    preprocess = request.bundle.model.preprocess
    graphs = write_graphs(folder, request, ASCEND_BATCH_SIZES, ASCEND_INPUT, ASCEND_OUTPUT)
    (folder / "aipp.cfg").write_text(aipp.config_text(preprocess), encoding="utf-8")
    _write_inputs(folder, request, sample)
    _write_labels(folder, request, sample)
    calibration = _write_calibration(folder, request)
    write_goldens(folder, request, sample, preprocess)
    (folder / "compile.sh").write_text(compile_script(request, graphs), encoding="utf-8")
    said = {"input": ASCEND_INPUT, "output": ASCEND_OUTPUT, "agreement": graphs, "calibration_images": calibration}
    (folder / "README.md").write_text(ascend_readme(request, sample, expected, said), encoding="utf-8")
    return said


def compile_script(request: ExportRequest, graphs: Iterable[str]) -> str:
    """`atc` for every graph; with AIPP for 8-bit images where `AIPP=1` is set."""
    height, width = request.bundle.model.preprocess.output_px or (0, 0)
    channels = request.bundle.model.network.in_channels
    lines = [
        "#!/bin/sh",
        "# SOC: the chip's name with Ascend in front, as npu-smi info shows it. AIPP=1: take inputs_uint8/.",
        "set -eu",
        'cd "$(dirname "$0")"',
        'soc="${SOC:-Ascend310}"',
        'aipp=""',
        'test "${AIPP:-0}" = 0 || aipp="--insert_op_conf=aipp.cfg"',
        "mkdir -p om",
    ]
    for graph in graphs:
        batch = graph.rpartition("_bs")[2].removesuffix(".onnx")
        lines.append(
            f"atc --framework=5 --model={graph} --output=om/{Path(graph).stem} --input_format=NCHW "
            f'--input_shape="{ASCEND_INPUT}:{batch},{channels},{height},{width}" --log=error --soc_version="$soc" $aipp'
        )
    return "\n".join(lines) + "\n"


def _write_inputs(folder: Path, request: ExportRequest, sample: Sample) -> None:
    """`inputs/` with normalised tensors, `inputs_uint8/` with images (H, W, C) for AIPP, and an `.info` of each."""
    preprocess = request.bundle.model.preprocess
    places = (folder / "inputs", folder / "inputs_uint8")
    for place in places:
        place.mkdir()
    rows: tuple[list[InfoRow], list[InfoRow]] = ([], [])
    for name, item, pixels in zip(sample.names, sample.items, pixels_of(sample, preprocess), strict=True):
        ascend.write_ascend_input(places[0] / f"{name}.bin", pixels)
        image = whole_levels(preprocess.resized(loaded_image(item.load(), orientation=preprocess.orientation)))
        # AIPP swaps the channels of a network that takes BGR itself, so the file is RGB.
        rgb = image[::-1] if preprocess.color == "bgr" else image
        np.ascontiguousarray(rgb.transpose(1, 2, 0)).tofile(places[1] / f"{name}.bin")
        for row, place in zip(rows, places, strict=True):
            row.append(InfoRow(f"{place.name}/{name}.bin", pixels.shape[2], pixels.shape[1]))
    for row, place in zip(rows, places, strict=True):
        ascend.write_info(folder / f"{place.name}.info", row)


def _write_labels(folder: Path, request: ExportRequest, sample: Sample) -> None:
    (folder / "labels").mkdir()
    vastai.write_class_names(folder / "labels" / "names.txt", request.bundle.labels)
    known = [(f"{name}.JPEG", target) for name, target in _targets(sample)]
    if known:
        ascend.write_ascend_label_file(folder / "labels" / ascend.ASCEND_LABEL_FILE, known)


def _targets(sample: Sample) -> Sequence[tuple[str, int]]:
    rows = zip(sample.names, sample.targets, strict=True)
    return [(name, target) for name, target in rows if target is not None]


def _write_calibration(folder: Path, request: ExportRequest) -> int:
    """`calibration/NAME.bin`, normalised tensors as the quantization tools take them."""
    rows = calibration_items(request)
    if rows:
        (folder / "calibration").mkdir()
    items = tuple(item for _, item in rows)
    names = tuple(name for name, _ in rows)
    sample = Sample(names=names, items=items, targets=(None,) * len(rows), unreadable=())
    for name, pixels in zip(names, pixels_of(sample, request.bundle.model.preprocess), strict=True):
        ascend.write_ascend_input(folder / "calibration" / f"{name}.bin", pixels)
    return len(rows)
