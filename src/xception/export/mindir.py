"""A bundle's network in MindSpore's own format, written and run by an interpreter that has MindSpore."""

import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xception.arch.graph import BatchNorm
from xception.backends.graph_session import graph_input
from xception.bundle import Bundle
from xception.export.fold import affine
from xception.export.program import Program, TopK
from xception.inputs import DOCUMENT_LIMIT, MODEL_LIMIT, open_file, parse_json, read_bytes
from xception.upstream import mindir as script
from xception.upstream.interpreter import run_script


def mindir_files(program: Program, upstream_python: str) -> dict[str, bytes]:
    """`model.mindir` with the program's inputs and outputs, whose names the format does not keep.

    Args:
        program: what to write.
        upstream_python: an interpreter that has MindSpore and NumPy.

    Raises:
        EnvironmentFault: the interpreter does not write the file.
    """
    nodes, tensors = _described(program), dict(program.tensors)
    for node in program.nodes:
        if isinstance(node, BatchNorm):
            values = affine(node, program.tensors)
            tensors |= {f"{node.name}.{leaf}": value[:, None, None] for leaf, value in values.items()}
    shape, image = program.graph.input_shape, program.options.image_input
    document = {
        "source": program.source,
        "shape": [shape[axis] for axis in ((0, 2, 3, 1) if image else (0, 1, 2, 3))],
        "dtype": "uint8" if image else "float32",
        "nodes": list(nodes),
        "outputs": [output.value for output in program.outputs],
    }
    with tempfile.TemporaryDirectory() as folder:
        files = {name: Path(folder) / name for name in ("program.json", "tensors.npz", "model.mindir")}
        files["program.json"].write_text(json.dumps(document))
        np.savez(files["tensors.npz"], **tensors)  # type: ignore[arg-type]
        given = {"program": files["program.json"], "tensors": files["tensors.npz"], "file": files["model.mindir"]}
        _mindspore(upstream_python, "write", given, "MindSpore did not write the file")
        return {"model.mindir": read_bytes(files["model.mindir"], MODEL_LIMIT)}


def _described(program: Program) -> Iterator[dict[str, Any]]:
    """Operations as the script reads them: one value each."""
    for node in program.nodes:
        described = {"kind": type(node).__name__, **asdict(node)}
        if isinstance(node, TopK):
            for part, name in enumerate(("values", "indices")):
                yield {**described, "name": f"{node.name}.{name}", "part": part}
        else:
            yield described


def mindspore_versions(upstream_python: str) -> dict[str, str]:
    """Versions of MindSpore and NumPy in the other interpreter."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "versions.json"
        _mindspore(upstream_python, "versions", {"out": out}, "MindSpore did not tell its version")
        versions: dict[str, str] = parse_json(read_bytes(out, DOCUMENT_LIMIT), dict[str, str])
        return versions


def run_mindir(
    exported: Bundle, batches: Mapping[str, NDArray[Any]], upstream_python: str
) -> dict[str, dict[str, NDArray[Any]]]:
    """All outputs of a file on named batches of pixels, loaded by a new process."""
    graph = exported.graph
    inputs = {name: graph_input(pixels, graph, exported.model.preprocess) for name, pixels in batches.items()}
    with tempfile.TemporaryDirectory() as folder:
        pixels, out = Path(folder) / "pixels.npz", Path(folder) / "outputs.npz"
        np.savez(pixels, **inputs)  # type: ignore[arg-type]
        given = {"file": exported.main_file, "pixels": pixels, "out": out}
        _mindspore(upstream_python, "run", given, f"MindSpore did not run {exported.main_file}")
        with open_file(out) as file, np.load(file, allow_pickle=False) as arrays:
            return {
                batch: {name: arrays[f"{index} {batch}"] for index, name in enumerate(graph.outputs)}
                for batch in batches
            }


def _mindspore(upstream_python: str, action: str, files: Mapping[str, Path], complaint: str) -> None:
    options = [f"--{name}={path.resolve()}" for name, path in files.items()]
    run_script([upstream_python, script.__file__, action, *options], complaint)
