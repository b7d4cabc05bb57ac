"""The pack for VastAI: a graph, compiler and preprocessing files, inputs with a datalist, and the next steps."""

import json
from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np

from xception.data.decode import loaded_image
from xception.export.packs.pack import (
    MAX_CALIBRATION_IMAGES,
    Expected,
    Sample,
    calibration_items,
    cost_of,
    file_name,
    safe,
    write_goldens,
    write_graphs,
    write_images,
    write_pack,
)
from xception.export.packs.readme import vastai_readme
from xception.export.request import ExportRequest
from xception.interchange import vamc, vastai, vdsp
from xception.preprocess import Preprocess

VASTAI_INPUT, VASTAI_OUTPUT = "input", "output"


def write(request: ExportRequest) -> Path:
    """Write the pack, as `write_pack`."""
    return write_pack(request, _contents)


def _contents(folder: Path, request: ExportRequest, sample: Sample, expected: Expected) -> Mapping[str, object]:
    preprocess = request.bundle.model.preprocess
    chip, departures = vdsp.expressible(preprocess), vdsp.vdsp_departures(preprocess)
    graphs = write_graphs(folder, request, (1,), VASTAI_INPUT, VASTAI_OUTPUT)
    vdsp.write_params(folder / "vdsp_params.json", vdsp.params_of(preprocess))
    suffix = write_images(folder, request)
    calibration = len(calibration_items(request))
    _write_builds(folder, request, chip, suffix, calibration)
    _write_inputs(folder, request, sample)
    (folder / "labels").mkdir()
    vastai.write_class_names(folder / "labels" / vastai.CLASS_NAMES, request.bundle.labels)
    vastai.write_class_info(folder / "labels" / vastai.CLASS_INFO, request.bundle.labels)
    theirs = write_goldens(folder, request, sample, chip)
    own = write_goldens(folder, request, sample, preprocess, "logits_own_preprocess")
    said: dict[str, object] = {
        "input": VASTAI_INPUT,
        "output": VASTAI_OUTPUT,
        "agreement": graphs,
        "calibration_images": calibration,
        "calibrate_mode": request.calibrate_mode or "max",
        "chip_preprocess": chip,
        "departures": departures,
        "cost": cost_of(request, expected, chip, own, theirs) if departures else None,
    }
    (folder / "README.md").write_text(vastai_readme(request, sample, expected, said), encoding="utf-8")
    return said


def _write_builds(folder: Path, request: ExportRequest, chip: Preprocess, suffix: str, calibration: int) -> None:
    """`build_int8.yaml` and `build_fp16.yaml` for the compiler, and the model's facts for its runtime."""
    own = request.bundle.model.preprocess
    # The compiler computes in single precision, so that mean and deviation are not rounded there.
    exact = msgspec.structs.replace(chip, divisor=own.divisor, mean=own.mean, std=own.std)
    for dtype in ("int8", "fp16"):
        config = vamc.vamc_config(
            vamc.VamcBuild(
                preprocess=exact,
                name=f"{file_name(request)}_{dtype}",
                checkpoint=f"./onnx/{file_name(request)}_bs1.onnx",
                input_name=VASTAI_INPUT,
                dtype="int8" if dtype == "int8" else "fp16",
                calibrate_mode=request.calibrate_mode or "max",
                calibration="./calibration",
                images=calibration or MAX_CALIBRATION_IMAGES,
                suffix=suffix,
                softmax=request.bundle.model.activation == "softmax",
            )
        )
        vamc.write_config(folder / f"build_{dtype}.yaml", config)
        place = f"./deploy_weights/{file_name(request)}_{dtype}/mod"
        info = {
            "model_name": f"{file_name(request)}_{dtype}",
            "model_lib_path": f"{place}.so",
            "model_graph_path": f"{place}.json",
            "model_params_path": f"{place}.params",
            "hw_config_file": "",
            "output_layout": {"name": VASTAI_OUTPUT, "shape": [1, request.bundle.model.network.num_classes]},
        }
        (folder / f"model_info_{dtype}.json").write_text(json.dumps(info, indent=4) + "\n", encoding="utf-8")


def _write_inputs(folder: Path, request: ExportRequest, sample: Sample) -> None:
    """`inputs/CLASS/NAME.npz`, whole images, and `datalist.txt` in the same order."""
    labels, paths = request.bundle.labels, []
    for name, item, target in zip(sample.names, sample.items, sample.targets, strict=True):
        place = "unknown" if target is None else safe((labels.ids or labels.names)[target])
        path = Path("inputs") / place / f"{name}.npz"
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        orientation = request.bundle.model.preprocess.orientation
        image = np.asarray(loaded_image(item.load(), orientation=orientation).convert("RGB"))
        vastai.write_vastai_input(folder / path, np.ascontiguousarray(image.transpose(2, 0, 1)))
        paths.append(path.as_posix())
    vastai.write_datalist(folder / vastai.DATALIST, paths)
