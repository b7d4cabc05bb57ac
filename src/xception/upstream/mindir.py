"""A network in MindSpore's own format: a script for interpreters that have MindSpore.

    python mindir.py write --program program.json --tensors tensors.npz --file model.mindir
    python mindir.py run --pixels pixels.npz --file model.mindir --out outputs.npz
    python mindir.py versions --out versions.json

`write` builds cells from a list of operations and exports them. `run` loads such a file, in a process of its own, and
writes its outputs for inputs by name, as "0 NAME", "1 NAME", ... in the order of the outputs.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np


def main() -> None:
    """Write or run one file."""
    parser = argparse.ArgumentParser()
    parser.add_argument("action", choices=["write", "run", "versions"])
    for name in ("program", "tensors", "pixels", "file", "out"):
        parser.add_argument(f"--{name}", type=Path)
    arguments = parser.parse_args()
    mindspore = import_module("mindspore")

    mindspore.set_context(mode=mindspore.GRAPH_MODE)
    if arguments.action == "versions":
        arguments.out.write_text(json.dumps({"mindspore": mindspore.__version__, "numpy": np.__version__}))
    elif arguments.action == "write":
        _write(mindspore, json.loads(arguments.program.read_text()), arguments)
    else:
        _run(mindspore, arguments)


def _write(mindspore: Any, program: dict[str, Any], arguments: argparse.Namespace) -> None:
    with np.load(arguments.tensors) as tensors:
        network = _network(mindspore, program, dict(tensors))
    network.set_train(False)
    source = mindspore.Tensor(shape=program["shape"], dtype=getattr(mindspore, program["dtype"]))
    mindspore.export(network, source, file_name=str(arguments.file), file_format="MINDIR")


def _run(mindspore: Any, arguments: argparse.Namespace) -> None:
    graph = mindspore.nn.GraphCell(mindspore.load(str(arguments.file)))
    found = {}
    with np.load(arguments.pixels) as pixels:
        for name in pixels.files:
            results = graph(mindspore.Tensor(pixels[name]))
            listed = results if isinstance(results, (tuple, list)) else (results,)
            found.update({f"{index} {name}": result.asnumpy() for index, result in enumerate(listed)})
    np.savez(arguments.out, **found)


def _network(mindspore: Any, program: dict[str, Any], tensors: dict[str, np.ndarray]) -> Any:
    """A cell that keeps all values in a tuple, from which each step reads by position."""
    names, steps, first, second = [program["source"]], [], [], []
    for node in program["nodes"]:
        own = {name[len(node["name"]) + 1 :]: value for name, value in tensors.items() if _is_of(name, node["name"])}
        first.append(names.index(node["source"]))
        second.append(names.index(node.get("other", node["source"])))
        steps.append(_step(mindspore, node, own))
        names.append(node["name"])
    results = tuple(names.index(name) for name in program["outputs"])

    class Network(mindspore.nn.Cell):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.steps = mindspore.nn.CellList(steps)
            self.first, self.second, self.results = tuple(first), tuple(second), results

        def construct(self, source: Any) -> Any:
            # The framework compiles this text, and knows fewer constructions than Python.
            values = (source,)
            for index, step in enumerate(self.steps):
                values = values + (step(values[self.first[index]], values[self.second[index]]),)  # type: ignore[assignment]  # noqa: RUF005
            found = ()
            for index in self.results:
                found = found + (values[index],)  # type: ignore[assignment]  # noqa: RUF005
            return found

    return Network()


def _is_of(tensor: str, node: str) -> bool:
    return tensor.rpartition(".")[0] == node


def _step(mindspore: Any, node: dict[str, Any], own: dict[str, np.ndarray]) -> Any:
    """One operation as a cell of two inputs, of which most read only the first."""
    constants = {name: mindspore.Tensor(value) for name, value in own.items()}
    made: Any = CELLS[node["kind"]](mindspore.nn, node, constants) if node["kind"] in CELLS else None

    class Step(mindspore.nn.Cell):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.kind, self.layer = node["kind"], made
            self.factor, self.shift = constants.get("factor"), constants.get("shift")
            self.number, self.count, self.part = node.get("factor"), node.get("count"), node.get("part")
            self.topk, self.concat = mindspore.ops.topk, mindspore.ops.Concat(axis=1)
            self.maximum = mindspore.ops.ReduceMax()

        def construct(self, x: Any, other: Any) -> Any:
            if self.kind == "Add":
                return x + other
            if self.kind == "Scale":
                return x * self.number
            if self.kind == "BatchNorm":
                return x * self.factor + self.shift
            if self.kind == "Normalize":
                return (x.astype("float32") * self.factor + self.shift).transpose(0, 3, 1, 2)
            if self.kind == "GlobalAveragePool":
                return x.mean((2, 3))
            if self.kind == "GlobalMaxPool":
                return self.maximum(x, (2, 3))
            if self.kind == "Concat":
                return self.concat((x, other))
            if self.kind == "TopK":
                return self.topk(x, self.count)[self.part]
            return self.layer(x)

    return Step()


def _conv(nn: Any, node: dict[str, Any], constants: dict[str, Any]) -> Any:
    return nn.Conv2d(
        node["in_channels"],
        node["out_channels"],
        node["kernel"],
        stride=node["stride"],
        pad_mode="pad",
        padding=node["padding"],
        dilation=node["dilation"],
        group=node["groups"],
        has_bias=node["bias"],
        weight_init=constants["weight"],
        bias_init=constants.get("bias"),
    )


def _max_pool(nn: Any, node: dict[str, Any], _: dict[str, Any]) -> Any:
    padding = {"pad_mode": "same"} if node["padding"] == "same" else {"pad_mode": "pad", "padding": 1}
    return nn.MaxPool2d(3, node["stride"], **padding)


def _dense(nn: Any, node: dict[str, Any], constants: dict[str, Any]) -> Any:
    return nn.Dense(node["in_features"], node["out_features"], constants["weight"], constants["bias"])


CELLS: dict[str, Callable[[Any, dict[str, Any], dict[str, Any]], Any]] = {
    "Conv": _conv,
    "MaxPool": _max_pool,
    "Dense": _dense,
    "Relu": lambda nn, *_: nn.ReLU(),
    "Sigmoid": lambda nn, *_: nn.Sigmoid(),
    "Softmax": lambda nn, *_: nn.Softmax(axis=1),
}
"""Operations that are cells already."""


if __name__ == "__main__":
    main()
