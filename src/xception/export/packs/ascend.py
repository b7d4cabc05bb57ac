"""The pack for Ascend: a graph per batch size, prepared inputs, AIPP, calibration tensors, and the next steps."""

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from xception.backends.validity import check_files
from xception.bundle import Agreement, write_bundle
from xception.data.decode import loaded_image
from xception.errors import UsageError
from xception.export.export import export_bundle
from xception.export.packs.amct import adaptable
from xception.export.packs.pack import (
    Expected,
    Sample,
    calibration_items,
    file_name,
    pixels_of,
    write_goldens,
    write_graphs,
    write_pack,
)
from xception.export.packs.readme import ascend_readme
from xception.export.program import GraphOptions
from xception.export.regraph import compare_graphs
from xception.export.request import ExportRequest
from xception.extras import require
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
    graphs = (
        _write_int8_graphs(folder, request, sample)
        if request.bundle.model.precision == "int8"
        else write_graphs(folder, request, ASCEND_BATCH_SIZES, ASCEND_INPUT, ASCEND_OUTPUT)
    )
    (folder / "aipp.cfg").write_text(aipp.config_text(preprocess), encoding="utf-8")
    _write_inputs(folder, request, sample)
    _write_labels(folder, request, sample)
    calibration = _write_calibration(folder, request)
    write_goldens(folder, request, sample, preprocess)
    (folder / "compile.sh").write_text(compile_script(request, graphs, calibration), encoding="utf-8")
    said = {"input": ASCEND_INPUT, "output": ASCEND_OUTPUT, "agreement": graphs, "calibration_images": calibration}
    (folder / "README.md").write_text(ascend_readme(request, sample, expected, said), encoding="utf-8")
    return said


def _write_int8_graphs(folder: Path, request: ExportRequest, sample: Sample) -> dict[str, Agreement | None]:
    """`onnx/NAME_bsN.onnx` per batch size as AMCT adapts it, run on the inputs and compared with the int8 bundle."""
    _check_plain(request)
    (folder / "onnx").mkdir()
    probes = [np.stack(list(pixels_of(sample, request.bundle.model.preprocess)))]
    fixed = request.bundle.graph.input_shape[0]
    found: dict[str, Agreement | None] = {}
    for batch in (fixed,) if fixed else ASCEND_BATCH_SIZES:
        options = GraphOptions(fixed_batch=batch, input_name=ASCEND_INPUT, output_name=ASCEND_OUTPUT)
        with tempfile.TemporaryDirectory(dir=folder.parent) as place:
            exported = export_bundle(request.bundle, "onnx", Path(place) / "graph", options=options)
            graph = adaptable(require("onnx", "onnx").load_from_string(exported.content()))
            files = {exported.main_file.name: bytes(graph.SerializeToString(deterministic=True))}
            check_files("onnx", files)
            trial = write_bundle(Path(place) / "adaptable", exported.model, exported.labels, files)
            name = f"onnx/{file_name(request)}_bs{batch}.onnx"
            found[name] = compare_graphs(trial, request.bundle, probes, rounds_anew=True)
            trial.main_file.rename(folder / name)
    return found


def _check_plain(request: ExportRequest) -> None:
    """Refuse a second calibration, and an int8 graph that exchanges anything but what the vendor's tools do."""
    bundle, graph = request.bundle, request.bundle.graph
    if request.calibration is not None:
        raise UsageError(f"{bundle.path} is int8 and has its ranges; leave out --calibration")
    if (graph.input_values, graph.outputs, graph.output_values) != ("pixels", (graph.output_name,), "logits"):
        raise UsageError(
            f"{bundle.path} takes 8-bit images or gives more than logits, and a pack's graph takes pixels and gives "
            "logits; quantize the weights without --image-input, --probabilities, --top-k and --class-maps"
        )
    if None in graph.input_shape[2:]:
        raise UsageError(
            f"{bundle.path} takes images of any size, and atc compiles for one; quantize the weights without "
            "--free-size"
        )


def compile_script(request: ExportRequest, graphs: Iterable[str], calibration: int) -> str:
    """`atc` for every graph, behind AMCT for int8; with AIPP for 8-bit images where `AIPP=1` is set."""
    is_int8 = request.bundle.model.precision == "int8"
    lines = [
        "#!/bin/sh",
        "# SOC: the chip's name with Ascend in front, as npu-smi info shows it. AIPP=1: take inputs_uint8/.",
        *(["# INT8=1: quantize the graph of batch 1 on calibration/ first."] if calibration else []),
        "set -eu",
        'cd "$(dirname "$0")"',
        'soc="${SOC:-Ascend310}"',
        'aipp=""',
        'test "${AIPP:-0}" = 0 || aipp="--insert_op_conf=aipp.cfg"',
        "mkdir -p om amct",
    ]
    for graph in graphs:
        stem = Path(graph).stem
        if is_int8:
            lines.append(f"amct_onnx convert --model={graph} --save_path=amct/{stem}")
        compiled = _deployed(stem) if is_int8 else graph
        lines.append(_atc(request, compiled, f"om/{stem}", stem.rpartition("_bs")[2]))
    if calibration:
        lines += ['test "${INT8:-0}" = 0 && exit', *_calibrated(request, calibration)]
    return "\n".join(lines) + "\n"


def _calibrated(request: ExportRequest, calibration: int) -> tuple[str, str]:
    """The commands that make int8 of the float graph of batch 1, with all of the calibration images."""
    stem, shape = f"{file_name(request)}_bs1", _input_shape(request, "1")
    quantize = (
        f'amct_onnx calibration --model=onnx/{stem}.onnx --save_path=amct/{stem} --input_shape="{shape}" '
        f"--data_dir=calibration --data_types=float32 --batch_num={calibration}"
    )
    return quantize, _atc(request, _deployed(stem), f"om/{stem}_int8", "1")


def _deployed(stem: str) -> str:
    """The graph that AMCT writes for the chip."""
    return f"amct/{stem}_deploy_model.onnx"


def _atc(request: ExportRequest, graph: str, output: str, batch: str) -> str:
    return (
        f"atc --framework=5 --model={graph} --output={output} --input_format=NCHW "
        f'--input_shape="{_input_shape(request, batch)}" --log=error --soc_version="$soc" $aipp'
    )


def _input_shape(request: ExportRequest, batch: str) -> str:
    height, width = request.bundle.model.preprocess.output_px or (0, 0)
    return f"{ASCEND_INPUT}:{batch},{request.bundle.model.network.in_channels},{height},{width}"


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
