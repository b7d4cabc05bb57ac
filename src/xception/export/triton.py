"""A bundle as a model for Triton: `config.pbtxt`, labels, and the folder of a version, which is an ONNX bundle."""

from functools import partial
from pathlib import Path
from typing import Any

from xception import inputs
from xception.backends.graphs import Port, describe_graph
from xception.bundle import Bundle
from xception.errors import CheckFailed, UsageError
from xception.export.export import export_bundle
from xception.export.pbtxt import Word, read_pbtxt, write_pbtxt
from xception.export.program import TOP_INDICES, TOP_VALUES
from xception.export.request import ExportRequest
from xception.labels import labels_text
from xception.outputs import ensure_free, staged_folder

TRITON_CONFIG, TRITON_LABELS, TRITON_VERSION = "config.pbtxt", "labels.txt", "1"
CONTENT = frozenset({TRITON_CONFIG, TRITON_LABELS, TRITON_VERSION})

MAX_BATCH = 32
"""The largest batch that the server makes of waiting requests; a graph of a free batch size takes any."""

MAX_DELAY_US = 500
"""Time that the server lets a request wait for others, a small part of one inference."""

TRITON_TYPES = {"tensor(float)": "TYPE_FP32", "tensor(uint8)": "TYPE_UINT8", "tensor(int64)": "TYPE_INT64"}
"""Triton's names for ONNX Runtime's types."""


def write(request: ExportRequest) -> Path:
    """Write the model, named like its folder, read its configuration back, and only then put it in place.

    The graph is compared with the weights as every export is; the numbers stand in `1/model.json`.

    Raises:
        UsageError: the options do not fit.
        InputError: the place holds something that is not to be replaced.
        CheckFailed: the graph differs from the weights, or the configuration from the graph; nothing is left behind.
    """
    bundle, out = request.bundle, request.out
    if not out.name:
        raise UsageError(f"{out} has no name, which the model would bear; pass a folder of its own")
    ensure = partial(ensure_free, out, "a model for Triton", only=CONTENT, overwrite=request.overwrite)
    ensure()
    with staged_folder(out, ensure) as folder:
        exported = export_bundle(bundle, "onnx", folder / TRITON_VERSION, options=request.options)
        if bundle.labels.names:
            (folder / TRITON_LABELS).write_text(labels_text(bundle.labels), encoding="utf-8")
        (folder / TRITON_CONFIG).write_text(write_pbtxt(configuration(out.name, exported)), encoding="utf-8")
        _check(folder)
    return out


def configuration(name: str, exported: Bundle) -> dict[str, Any]:
    """The fields of `config.pbtxt` for an ONNX bundle."""
    facts = describe_graph(exported.main_file)
    batched = exported.graph.input_shape[0] is None
    ports = {
        "input": [_port(port, batched) for port in facts.inputs or ()],
        "output": [_port(port, batched) for port in facts.outputs or ()],
    }
    for port in ports["output"]:
        if exported.labels.names and port["name"] not in (TOP_INDICES, TOP_VALUES, "class_maps"):
            # The server looks up the position in an output, which is a class only where there is one for each.
            port["label_filename"] = TRITON_LABELS
    batching = {
        "preferred_batch_size": [4, 8, 16, MAX_BATCH],
        "max_queue_delay_microseconds": MAX_DELAY_US,
    }
    return {
        "name": name,
        "backend": "onnxruntime",
        "default_model_filename": exported.main_file.name,
        "max_batch_size": MAX_BATCH if batched else 0,
        **ports,
        **({"dynamic_batching": batching} if batched else {}),
        "instance_group": [{"count": 1, "kind": Word("KIND_AUTO")}],
        "version_policy": {"latest": {"num_versions": 1}},
    }


def _port(port: Port, batched: bool) -> dict[str, Any]:
    """Triton adds the batch axis itself where it batches; -1 is a free size."""
    dims = [size if isinstance(size, int) else -1 for size in port.shape]
    return {"name": port.name, "data_type": Word(TRITON_TYPES[port.dtype]), "dims": dims[1:] if batched else dims}


def _check(folder: Path) -> None:
    """Refuse a configuration that, read back, announces other ports than the graph has."""
    found = read_pbtxt(inputs.read_utf8(folder / TRITON_CONFIG, inputs.DOCUMENT_LIMIT))
    (most,), (file,) = found["max_batch_size"], found["default_model_filename"]
    facts = describe_graph(folder / TRITON_VERSION / file)
    for kind, ports in (("input", facts.inputs), ("output", facts.outputs)):
        announced = [(port["name"], port["data_type"], port["dims"]) for port in found[kind]]
        real = [
            ([port["name"]], [port["data_type"]], port["dims"]) for port in (_port(p, most > 0) for p in ports or ())
        ]
        if announced != real:
            raise CheckFailed(
                f"{TRITON_CONFIG} announces {announced} as {kind} and the graph has {real}; nothing was written; "
                "report this"
            )
