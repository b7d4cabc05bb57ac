"""A bundle's network as an ONNX graph, written node by node from its specification; torch takes no part."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xception.arch.arithmetic import same_padding
from xception.arch.graph import (
    INPUT,
    Add,
    BatchNorm,
    Concat,
    Conv,
    Dense,
    GlobalAveragePool,
    GlobalMaxPool,
    MaxPool,
    Relu,
    Scale,
)
from xception.backends.onnxruntime import newest_opset
from xception.errors import UsageError
from xception.export.program import GraphOptions, Normalize, Operation, Program, Sigmoid, Softmax, TopK
from xception.extras import require

OLDEST_OPSET = 11


def check_opset(opset: int) -> None:
    """Refuse an opset that cannot be written, or that could not be run and compared with the weights.

    Raises:
        MissingExtra: onnx or ONNX Runtime is not installed.
        UsageError: it is too old, or newer than the installed onnx or ONNX Runtime knows.
    """
    # Every runtime here knows the usual ones, which are not looked up.
    if OLDEST_OPSET <= opset <= GraphOptions().opset:
        return
    if not OLDEST_OPSET <= opset <= newest_opset():
        raise UsageError(
            f"--opset {opset} cannot be written and run here; expected {OLDEST_OPSET} to {newest_opset()}, the newest "
            f"that onnx {version('onnx')} and ONNX Runtime {version('onnxruntime')} both know"
        )


def onnx_files(program: Program) -> dict[str, bytes]:
    """`model.onnx` with the program's inputs and outputs.

    Inputs and outputs stay float32 in a graph of float16, with a cast at each, so that callers need not care.

    Raises:
        MissingExtra: onnx is not installed.
        UsageError: see `check_opset`.
    """
    onnx = require("onnx", "onnx")
    helper, opset = onnx.helper, program.options.opset
    check_opset(opset)
    imports = [helper.make_opsetid("", opset)]
    model = helper.make_model(_Writer(onnx, program).graph(), opset_imports=imports, producer_name="xception")
    # The oldest that may hold this opset, so that runtimes of its time read the file.
    model.ir_version = helper.find_min_ir_version_for(imports)
    return {"model.onnx": bytes(model.SerializeToString(deterministic=True))}


class _Writer:
    """Writer of one graph; an operation's output bears the operation's name.

    In float16 the network itself is half precision; the input, normalisation, and all behind the logits are float32.
    """

    def __init__(self, onnx: Any, program: Program) -> None:
        self.onnx, self.helper, self.program = onnx, onnx.helper, program
        self.half = program.options.precision == "float16"
        self.names = {program.source: program.graph.input_name}
        self.float32_values: set[str] = set()
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def graph(self) -> Any:
        if not self.program.options.image_input:
            self.enter(self.program.graph.input_name)
        for node in self.program.nodes:
            ONNX_WRITERS[type(node)](self, node)
        for output in self.program.outputs:
            self.add("Identity", [self.as_float32(output.value)], output.name)
        name = self.program.architecture.name
        return self.helper.make_graph(self.nodes, name, [self._input()], self._outputs(), self.constants)

    def add(self, kind: str, inputs: list[str], name: str, outputs: list[str] | None = None, **attributes: Any) -> None:
        inputs = [self.names.get(value, value) for value in inputs]
        self.nodes.append(self.helper.make_node(kind, inputs, outputs or [name], name, **attributes))

    def cast(self, source: str, name: str, dtype: str) -> str:
        self.add("Cast", [source], name, to=self.type(dtype))
        return name

    def type(self, dtype: str) -> int:
        return int(self.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def enter(self, pixels: str) -> None:
        """Let the network read these float32 pixels."""
        self.names[INPUT] = self.cast(pixels, f"{INPUT}.float16", "float16") if self.half else pixels

    def as_float32(self, value: str) -> str:
        """A value's name, or that of its float32 copy."""
        if not self.half or value in self.float32_values:
            return value
        name = f"{value}.float32"
        if name not in self.float32_values:
            self.float32_values.add(self.cast(value, name, "float32"))
        return name

    def constant(self, name: str, value: np.ndarray | None = None, dtype: str | None = None) -> str:
        """Add a tensor, by default the program's in the graph's precision, and return its name."""
        value = self.program.tensors[name] if value is None else value
        with np.errstate(over="ignore"):
            stored = np.ascontiguousarray(value, dtype or ("float16" if self.half else "float32"))
        if not np.isfinite(stored).all():
            raise UsageError(f"{name} has values that {stored.dtype} cannot hold; export in float32")
        self.constants.append(self.onnx.numpy_helper.from_array(stored, name))
        return name

    def constants_of(self, node: Operation, *leaves: str) -> list[str]:
        return [self.constant(f"{node.name}.{leaf}") for leaf in leaves]

    def _input(self) -> Any:
        graph = self.program.graph
        axes = list(_named(graph.input_shape, ("N", "C", "H", "W")))
        if graph.input_layout == "nhwc":
            axes = [axes[index] for index in (0, 2, 3, 1)]
        dtype = "uint8" if graph.input_values == "image" else "float32"
        return self.helper.make_tensor_value_info(graph.input_name, self.type(dtype), axes)

    def _outputs(self) -> list[Any]:
        graph, shapes = self.program.graph, self.program.shapes()
        free = None in graph.input_shape[2:]
        infos = []
        for output in self.program.outputs:
            classes, *sides = shapes[output.value]
            shape = (graph.input_shape[0], classes, *(None if free else px for px in sides))
            axes = list(_named(shape, ("N", "K", "H'", "W'")))
            infos.append(self.helper.make_tensor_value_info(output.name, self.type(output.dtype), axes))
        return infos


def _named(shape: Sequence[int | None], names: Sequence[str]) -> Iterator[int | str]:
    """A shape with names for free sizes."""
    return (name if size is None else size for size, name in zip(shape, names, strict=False))


def _normalize(writer: _Writer, node: Normalize) -> None:
    name = node.name
    image = writer.cast(node.source, f"{name}.image", "float32")
    factor, shift = (
        writer.constant(f"{name}.{leaf}", writer.program.tensors[f"{name}.{leaf}"], "float32")
        for leaf in ("factor", "shift")
    )
    writer.add("Mul", [image, factor], f"{name}.scaled")
    writer.add("Add", [f"{name}.scaled", shift], f"{name}.shifted")
    writer.add("Transpose", [f"{name}.shifted"], name, perm=[0, 3, 1, 2])
    writer.enter(name)


def _conv(writer: _Writer, node: Conv) -> None:
    leaves = writer.constants_of(node, "weight", *(["bias"] if node.bias else []))
    writer.add(
        "Conv",
        [node.source, *leaves],
        node.name,
        kernel_shape=[node.kernel] * 2,
        strides=[node.stride] * 2,
        pads=[node.padding] * 4,
        dilations=[node.dilation] * 2,
        group=node.groups,
    )


def _batch_norm(writer: _Writer, node: BatchNorm) -> None:
    leaves = writer.constants_of(node, "weight", "bias", "running_mean", "running_var")
    writer.add("BatchNormalization", [node.source, *leaves], node.name, epsilon=node.epsilon)


def _relu(writer: _Writer, node: Relu) -> None:
    writer.add("Relu", [node.source], node.name)


def _max_pool(writer: _Writer, node: MaxPool) -> None:
    padding: dict[str, Any] = {"pads": [1] * 4}
    if node.padding == "same":
        # Written out where the size is known, since not every compiler takes the short form.
        sides = None if writer.program.options.free_size else writer.program.shapes()[node.source][1:]
        padding = {"pads": list(same_padding(sides, 3, node.stride))} if sides else {"auto_pad": "SAME_UPPER"}
    writer.add("MaxPool", [node.source], node.name, kernel_shape=[3, 3], strides=[node.stride] * 2, **padding)


def _add(writer: _Writer, node: Add) -> None:
    writer.add("Add", [node.source, node.other], node.name)


def _scale(writer: _Writer, node: Scale) -> None:
    writer.add("Mul", [node.source, writer.constant(f"{node.name}.factor", np.array(node.factor))], node.name)


def _global_pool(writer: _Writer, node: GlobalAveragePool | GlobalMaxPool) -> None:
    writer.add(type(node).__name__, [node.source], f"{node.name}.map")
    writer.add("Flatten", [f"{node.name}.map"], node.name, axis=1)


def _concat(writer: _Writer, node: Concat) -> None:
    writer.add("Concat", [node.source, node.other], node.name, axis=1)


def _dense(writer: _Writer, node: Dense) -> None:
    writer.add("Gemm", [node.source, *writer.constants_of(node, "weight", "bias")], node.name, transB=1)


def _softmax(writer: _Writer, node: Softmax) -> None:
    writer.add("Softmax", [writer.as_float32(node.source)], node.name, axis=1)
    writer.float32_values.add(node.name)


def _sigmoid(writer: _Writer, node: Sigmoid) -> None:
    writer.add("Sigmoid", [writer.as_float32(node.source)], node.name)
    writer.float32_values.add(node.name)


def _top_k(writer: _Writer, node: TopK) -> None:
    count = writer.constant(f"{node.name}.count", np.array([node.count]), "int64")
    outputs = [f"{node.name}.values", f"{node.name}.indices"]
    writer.add("TopK", [writer.as_float32(node.source), count], node.name, outputs, axis=1)
    writer.float32_values.update(outputs)


ONNX_WRITERS: Mapping[type[Operation], Callable[[_Writer, Any], None]] = {
    Normalize: _normalize,
    Conv: _conv,
    BatchNorm: _batch_norm,
    Relu: _relu,
    MaxPool: _max_pool,
    Add: _add,
    Scale: _scale,
    GlobalAveragePool: _global_pool,
    GlobalMaxPool: _global_pool,
    Concat: _concat,
    Dense: _dense,
    Softmax: _softmax,
    Sigmoid: _sigmoid,
    TopK: _top_k,
}


def open_taps(file: Path) -> "OnnxTaps":
    """An ONNX file that shows what it computes inside, in ONNX Runtime without its optimisations."""
    return OnnxTaps(require("onnx", "onnx").load(file))


class OnnxTaps:
    """The first operations of a graph, each an output of its own."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._ends = [index for index, node in enumerate(model.graph.node, 1) for _ in node.output]
        self.names = [name for node in model.graph.node for name in node.output]

    def __call__(self, values: NDArray[Any], count: int) -> dict[str, NDArray[Any]]:
        onnx, onnxruntime = require("onnx", "onnx"), require("onnxruntime", "onnx")
        part = onnx.ModelProto()
        part.CopyFrom(self._model)
        del part.graph.node[self._ends[count - 1] :], part.graph.output[:]
        part.graph.output.extend(onnx.ValueInfoProto(name=name) for name in self.names[:count])
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        session = onnxruntime.InferenceSession(
            part.SerializeToString(), options, providers=["CPUExecutionProvider"], enable_fallback=0
        )
        results = session.run(self.names[:count], {session.get_inputs()[0].name: values})
        return dict(zip(self.names, results, strict=False))
