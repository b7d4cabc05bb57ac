"""int8 with every option in every form: what combines, and how well the result agrees with the float graph.

`python -m benchmarks.int8_matrix` quantizes a network that reads digits once for each option and form, exports each
int8 ONNX bundle to the other targets, and writes `docs/explanation/int8-matrix.json`. `make pages` makes a table of it.
"""

import argparse
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from tests.support.reader import HELD_OUT, weights_of_digits
from xception.bundle import Bundle, open_bundle
from xception.data.digits import digits
from xception.errors import XceptionError
from xception.export.packs import verify
from xception.export.program import GraphOptions
from xception.export.request import ExportRequest
from xception.export.targets import EXPORT_TARGETS, write_export
from xception.forms import Form, quantizable
from xception.outputs import json_document, write_file
from xception.quantize.quantize import Tuning, quantize_bundle

RESULT = Path(__file__).parents[1] / "docs/explanation/int8-matrix.json"
CALIBRATED = 40
TOLERANCE = 0.05
"""Loss that is allowed here, where agreement is shown and not judged."""

ROWS: Mapping[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "none": ({}, {}),
    "--fixed-batch 3": ({"fixed_batch": 3}, {}),
    "--free-size": ({"free_size": True}, {}),
    "--image-input": ({"image_input": True}, {}),
    "--probabilities": ({"probabilities": True}, {}),
    "--top-k 2": ({"top_k": 2}, {}),
    "--class-maps": ({"class_maps": True}, {}),
    "--input-name, --output-name": ({"input_name": "digit", "output_name": "scores"}, {}),
    "all of these but the free size": (
        {
            "fixed_batch": 3,
            "image_input": True,
            "probabilities": True,
            "top_k": 2,
            "class_maps": True,
            "input_name": "digit",
            "output_name": "scores",
        },
        {},
    ),
    "--opset 13": ({"opset": 13}, {}),
    "--opset 11": ({"opset": 11}, {}),
    "--precision float16": ({"precision": "float16"}, {}),
    "--signed": ({}, {"is_signed": True}),
    "--signed --weight-bits 8": ({}, {"is_signed": True, "weight_bits": 8}),
    "--integer-ports": ({}, {"has_integer_ports": True}),
    "--integer-ports --image-input": ({"image_input": True}, {"has_integer_ports": True}),
    "--integer-ports --probabilities": ({"probabilities": True}, {"has_integer_ports": True}),
}
"""Options of the command line, with those of the graph and of quantization."""

EXPORTED = tuple(to for to, target in EXPORT_TARGETS.items() if to != "mindir" and not target.takes_any)
"""Targets that need no other interpreter, and are made of a bundle rather than hold it as it is."""


def main() -> None:
    """Measure all of it, or with --exports the exports alone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--exports", action="store_true", help="keep what is known of quantization")
    only_exports = parser.parse_args().exports
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        weights = weights_of_digits(folder / "weights")
        rows = msgspec.json.decode(RESULT.read_bytes())["quantize"] if only_exports else {}
        for index, (row, (options, tuning)) in enumerate(() if only_exports else ROWS.items()):
            place = folder / str(index)
            place.mkdir()
            rows[row] = {to: quantized(weights, to, options, tuning, place / to) for to in quantizable()}
            print(row, rows[row], flush=True)
        quantized(weights, "onnx", {}, {}, folder / "plain")
        plain = open_bundle(folder / "plain")
        exports = {to: exported(plain, to, folder / "exported" / to) for to in EXPORTED}
    write_file(RESULT, json_document({"quantize": rows, "export": exports}))


def quantized(weights: Bundle, to: Form, options: dict[str, Any], tuning: dict[str, Any], out: Path) -> dict[str, Any]:
    """Agreement with the float graph on held-out digits, or the sentence that refuses."""
    try:
        _, result = quantize_bundle(
            weights,
            digits("train"),
            out,
            validation=HELD_OUT,
            images=CALIBRATED,
            method="max",
            to=to,
            tolerance=TOLERANCE,
            options=GraphOptions(**options),
            tuning=Tuning(**tuning),
        )
    except XceptionError as error:
        return {"refused": sentence(error, weights)}
    verdict = result.verdict
    return {"top1_agreement": verdict.top1_agreement, "logit_error": verdict.logit_error} if verdict else {}


def exported(int8: Bundle, to: str, out: Path) -> dict[str, Any]:
    """Agreement of an int8 bundle's export with it, or the sentence that refuses."""
    data = HELD_OUT if EXPORT_TARGETS[to].kind == "pack" else None
    try:
        path = write_export(ExportRequest(bundle=int8, to=to, out=out, data=data))
    except XceptionError as error:
        return {"refused": sentence(error, int8)}
    found = agreement_in_pack(path) if EXPORT_TARGETS[to].kind == "pack" else agreement_in_bundle(path, to)
    return {name: found[name] for name in ("top1_agreement", "relative_diff")}


def agreement_in_bundle(path: Path, to: str) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(open_bundle(path / "1" if to == "triton" else path).model.agreement)
    return found


def agreement_in_pack(path: Path) -> dict[str, Any]:
    """Agreement of the graph of batch 1, on the pack's inputs."""
    graphs: dict[str, dict[str, Any]] = verify.read_manifest(path / verify.MANIFEST)["agreement"]
    return next(iter(graphs.values()))


def sentence(error: XceptionError, bundle: Bundle) -> str:
    return str(error).replace(str(bundle.path), "the bundle")


if __name__ == "__main__":
    main()
