"""Every variant as float and int8 ONNX in three opsets: the rules of ONNX, and the logits of other programs.

    python -m benchmarks.onnx_consumers --python PYTHON    an interpreter with the packages that onnx_readers.py names

Networks have a tenth of their width, images are small, weights are seeded, and int8 is calibrated on noise: this shows
that other programs read these files, and that they compute what ONNX Runtime does. Variants that were measured before
are kept unless they are named. Writes a table and the figures to `--out`, `.md` and `.json`.
"""

import argparse
import json
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.export_matrix import PX, weights
from benchmarks.record import FOLDER, conditions, measured_on, save
from xception.arch.variants import VARIANTS
from xception.backends.onnxruntime import newest_opset
from xception.backends.validity import check_onnx
from xception.bundle import Bundle
from xception.data.synthetic import noise_source
from xception.export.export import export_bundle
from xception.export.program import GraphOptions
from xception.extras import require
from xception.forms import OLDEST_INT8_OPSET
from xception.quantize.body import with_names
from xception.quantize.calibration import MIN_CALIBRATION_IMAGES, Calibration
from xception.quantize.ladder import Quantizer
from xception.tasks.agreement import data_pixels

SCRIPT = Path(__file__).with_name("onnx_readers.py")
WIDTH = 0.1
IMAGES = 2
READERS = {"opencv": "OpenCV DNN", "onnxslim": "onnxslim", "reference": "reference evaluator"}
PRECISIONS = {"float32": "float", "int8": "int8"}


def main() -> None:
    """Measure variant by variant; each is written as soon as it is known."""
    arguments = _arguments()
    kept = arguments.out.with_suffix(".json")
    rows = json.loads(kept.read_text(encoding="utf-8"))["rows"] if kept.exists() else {}
    for variant in arguments.variants or [name for name in VARIANTS if name not in rows]:
        with tempfile.TemporaryDirectory() as name:
            rows[variant], tools = measured(variant, Path(name), arguments.python)
        document = {
            **measured_on("onnx", "onnxruntime"),
            "programs": tools,
            "opsets": opsets(),
            "width": WIDTH,
            "px": PX,
            "rows": {name: rows[name] for name in VARIANTS if name in rows},
        }
        save(arguments.out, document, markdown(document))
        print(variant, rows[variant], flush=True)


def opsets() -> list[int]:
    """The oldest with int8 per channel, the default, and the newest that ONNX Runtime opens."""
    return [OLDEST_INT8_OPSET, GraphOptions().opset, newest_opset()]


def measured(variant: str, folder: Path, python: str) -> tuple[dict[str, Any], dict[str, str]]:
    """The cells of a variant by opset and precision, and the versions of the programs that read its files."""
    files = dict(_files(variant, folder))
    done = subprocess.run([python, str(SCRIPT), str(folder)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    pixels = np.load(folder / "pixels.npy")
    cells: dict[str, Any] = {}
    for file, content in files.items():
        expected = runtime_logits(content, pixels)
        opset, precision = file.split("-")
        cells.setdefault(opset, {})[precision] = {name: _answer(folder, file, name, expected) for name in READERS}
    return cells, json.loads(done.stdout)


def _files(variant: str, folder: Path) -> Iterator[tuple[str, bytes]]:
    """The content of each graph by its name, valid by the rules of ONNX, after it was written to the folder.

    Raises:
        CheckFailed, or an error of onnx: it breaks these rules.
    """
    bundle = weights(variant, WIDTH, folder)
    preprocess = bundle.model.preprocess
    np.save(folder / "pixels.npy", data_pixels(noise_source(preprocess, IMAGES), preprocess))
    for opset in opsets():
        made = export_bundle(bundle, "onnx", folder / f"{opset}", options=GraphOptions(opset=opset))
        for precision, content in (("float32", made.content()), ("int8", int8(made))):
            check_onnx({"model.onnx": content})
            (folder / f"{opset}-{precision}.onnx").write_bytes(content)
            yield f"{opset}-{precision}", content


def int8(bundle: Bundle) -> bytes:
    """The float graph in int8, calibrated on noise."""
    model = with_names(require("onnx", "onnx").load_from_string(bundle.content()))
    preprocess = bundle.model.preprocess
    images = Calibration(noise_source(preprocess, MIN_CALIBRATION_IMAGES), preprocess, bundle.graph)
    return bytes(Quantizer(model, images).graph("max").SerializeToString())


def runtime_logits(content: bytes, pixels: np.ndarray) -> np.ndarray:
    """Logits by ONNX Runtime, (N, K)."""
    session = require("onnxruntime", "onnx").InferenceSession(content, providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {session.get_inputs()[0].name: pixels})
    return np.asarray(logits)


def _answer(folder: Path, file: str, program: str, expected: np.ndarray) -> float | str:
    """The largest logit difference over the largest logit, or what the program complains of."""
    answers = folder / f"{file}.{program}.npy"
    if not answers.exists():
        return answers.with_suffix(".txt").read_text(encoding="utf-8").splitlines()[-1][:200]
    return float(np.abs(np.load(answers).reshape(expected.shape) - expected).max() / np.abs(expected).max())


def markdown(document: Mapping[str, Any]) -> str:
    """The table, with a line for each variant and opset."""
    programs = ", ".join(f"{name} {value}" for name, value in document["programs"].items())
    columns = [(precision, reader) for precision in PRECISIONS for reader in READERS]
    lines = [
        f"Graphs of {document['width']:g} of a variant's width for {document['px']} px, {document['date']}: all pass",
        "ONNX's checker in full and strict inference of shapes. Cells have the largest difference of a logit from that",
        "of ONNX Runtime, divided by the largest logit; what programs complain of stands below the table",
        f"({conditions(document)}; the other programs' environment: {programs}).",
        "In int8, a sum that falls between two integers may become either of them.",
        "Below opset 14, the reference evaluator mixes a batch's own statistics into norms, as training does:",
        "networks whose norms cannot be folded into convolutions, `timm_xception41p` and `timm_xception65p`, show it.",
        "",
        _line(["variant", "opset", *(f"{PRECISIONS[precision]}, {READERS[reader]}" for precision, reader in columns)]),
        _line(["---", "---:", *("---:" for _ in columns)]),
    ]
    for variant, cells in document["rows"].items():
        for opset, row in cells.items():
            shown = [_shown(row[precision][reader]) for precision, reader in columns]
            lines.append(_line([f"`{variant}`", opset, *shown]))
    return "\n".join([*lines, "", *_complaints(document["rows"])]).rstrip() + "\n"


def _complaints(rows: Mapping[str, Any]) -> Iterator[str]:
    """A line for each program that does not read some graphs, with what it says of one of them."""
    said: dict[tuple[str, str, str], str] = {}
    for cells in rows.values():
        for opset, row in cells.items():
            for precision, answers in row.items():
                for reader, cell in answers.items():
                    if isinstance(cell, str):
                        said.setdefault((opset, precision, reader), cell)
    for (opset, precision, reader), complaint in sorted(said.items()):
        yield f"- {READERS[reader]}, {PRECISIONS[precision]}, opset {opset}: {complaint}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _shown(cell: float | str) -> str:
    return "not read" if isinstance(cell, str) else f"{cell:.1e}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", required=True, help="interpreter of the other programs' environment")
    parser.add_argument("--variants", nargs="*", choices=list(VARIANTS), help="by default those without figures")
    parser.add_argument("--out", type=Path, default=FOLDER / "onnx_consumers")
    return parser.parse_args()


if __name__ == "__main__":
    main()
