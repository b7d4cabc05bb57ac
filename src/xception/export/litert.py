"""A bundle's network as a LiteRT (TensorFlow Lite) flatbuffer, written operation by operation like the ONNX graph."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xception.arch.graph import (
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
from xception.export.fold import affine
from xception.export.program import IMAGE, Normalize, Operation, Program, Sigmoid, Softmax, TopK
from xception.extras import require
from xception.litert_graph import LayerWeights, LiteRtGraph, OperationCall, Window


def litert_files(program: Program) -> dict[str, bytes]:
    """`model.tflite` with the program's inputs and outputs; images and maps inside are (N, H, W, C).

    In float16 the weights of convolutions and of the classifier are half precision; the runtime computes in float32.

    Raises:
        MissingExtra: ai-edge-litert is not installed.
        UsageError: weights that float16 cannot hold.
    """
    return {"model.tflite": _Writer(program).content()}


class _Writer:
    """A program on its way into a graph; an operation's output bears the operation's name."""

    def __init__(self, program: Program) -> None:
        batch, _, *sides = program.graph.input_shape
        self.graph, self.program = LiteRtGraph(batch=batch, has_free_size=None in sides), program
        self.is_half = program.options.precision == "float16"
        self.shapes = {
            name: (*shape[1:], shape[0]) if len(shape) == 3 and name != IMAGE else shape
            for name, shape in program.shapes().items()
        }

    def content(self) -> bytes:
        source, graph = self.program.source, self.program.graph
        dtype = "uint8" if graph.input_values == "image" else "float32"
        index = self.graph.value(source, self.shapes[source], dtype=dtype)
        for node in self.program.nodes:
            LITERT_WRITERS[type(node)](self, node)
        results = {output.name: self._output(output.value) for output in self.program.outputs}
        return self.graph.file.finish(self.program.architecture.name, {graph.input_name: index}, results)

    def call(self, node: Operation, *sources: str) -> OperationCall:
        """The operation of a node, whose output is made here, on its source or on the named values."""
        inputs = [self.graph.file.indices[name] for name in sources or (node.source,)]
        return OperationCall(name=node.name, inputs=inputs, output=self.graph.value(node.name, self.shapes[node.name]))

    def apply(self, kind: str, name: str, inputs: Sequence[int], shape: Sequence[int], **settings: Any) -> int:
        """Append an operation that is a part of a node. Returns its output."""
        return self.graph.add(
            kind, OperationCall(name=name, inputs=inputs, output=self.graph.value(name, shape)), **settings
        )

    def constant(self, name: str, value: NDArray[Any]) -> int:
        return self.graph.file.constant(name, value)

    def scale_and_shift(self, name: str, source: int, factor: NDArray[Any], shift: NDArray[Any]) -> None:
        """`value * factor + shift` per channel, in the value of that name."""
        shape, constants = self.shapes[name], {"factor": factor, "shift": shift}
        factors, shifts = (self.constant(f"{name}.{leaf}", value) for leaf, value in constants.items())
        scaled = self.apply("MUL", f"{name}.scaled", [source, factors], shape)
        self.apply("ADD", name, [scaled, shifts], shape)

    def weights(self, node: Conv | Dense) -> LayerWeights:
        """The layer's tensors; a convolution without a bias has one of zeros."""
        kernel = self.program.tensors[f"{node.name}.weight"]
        bias = self.program.tensors.get(f"{node.name}.bias", np.zeros(len(kernel), np.float32))
        return LayerWeights(kernel=kernel, bias=bias, is_half=self.is_half)

    def _output(self, value: str) -> int:
        """The tensor of an output; maps go out as (N, C, H, W)."""
        index = self.graph.file.indices[value]
        if self.program.outputs[0].value == value or len(self.shapes[value]) < 3:
            return index
        height, width, channels = self.shapes[value]
        order = self.constant(f"{value}.order", np.array([0, 3, 1, 2], np.int32))
        return self.apply("TRANSPOSE", f"{value}.nchw", [index, order], (channels, height, width))


def _normalize(writer: _Writer, node: Normalize) -> None:
    source = writer.graph.file.indices[node.source]
    image = writer.apply("CAST", f"{node.name}.image", [source], writer.shapes[node.name])
    factor, shift = (writer.program.tensors[f"{node.name}.{leaf}"] for leaf in ("factor", "shift"))
    writer.scale_and_shift(node.name, image, factor, shift)


def _batch_norm(writer: _Writer, node: BatchNorm) -> None:
    values = affine(node, writer.program.tensors)
    writer.scale_and_shift(node.name, writer.graph.file.indices[node.source], values["factor"], values["shift"])


def _conv(writer: _Writer, node: Conv) -> None:
    window = Window(size=node.kernel, stride=node.stride, dilation=node.dilation, pads=(node.padding,) * 4)
    writer.graph.conv(writer.call(node), writer.weights(node), window, is_depthwise=node.groups > 1)


def _max_pool(writer: _Writer, node: MaxPool) -> None:
    pads = None if node.padding == "same" else (1,) * 4
    writer.graph.max_pool(writer.call(node), Window(size=3, stride=node.stride, pads=pads))


def _scale(writer: _Writer, node: Scale) -> None:
    call = writer.call(node)
    factor = writer.constant(f"{node.name}.factor", np.array(node.factor, np.float32))
    writer.graph.add("MUL", call, [*call.inputs, factor])


def _top_k(writer: _Writer, node: TopK) -> None:
    count = writer.constant(f"{node.name}.count", np.array(node.count, np.int32))
    values = writer.graph.value(f"{node.name}.values", (node.count,))
    indices = writer.graph.value(f"{node.name}.indices", (node.count,), dtype="int32")
    source = writer.graph.file.indices[node.source]
    writer.graph.file.add("TOPK_V2", [source, count], [values, indices], options="TopKV2Options")


LITERT_WRITERS: Mapping[type[Operation], Callable[[_Writer, Any], object]] = {
    Normalize: _normalize,
    Conv: _conv,
    BatchNorm: _batch_norm,
    Relu: lambda writer, node: writer.graph.add("RELU", writer.call(node)),
    MaxPool: _max_pool,
    Add: lambda writer, node: writer.graph.add("ADD", writer.call(node, node.source, node.other)),
    Scale: _scale,
    GlobalAveragePool: lambda writer, node: writer.graph.mean(writer.call(node)),
    GlobalMaxPool: lambda writer, node: writer.graph.maximum(writer.call(node)),
    Concat: lambda writer, node: writer.graph.concatenate(writer.call(node, node.source, node.other)),
    Dense: lambda writer, node: writer.graph.dense(writer.call(node), writer.weights(node)),
    Softmax: lambda writer, node: writer.graph.add("SOFTMAX", writer.call(node), beta=1.0),
    Sigmoid: lambda writer, node: writer.graph.add("LOGISTIC", writer.call(node)),
    TopK: _top_k,
}


def open_taps(file: Path) -> "LiteRtTaps":
    """A file that shows what it computes inside, on LiteRT's own kernels without delegates."""
    litert = require("ai_edge_litert.interpreter", "litert")
    resolver = litert.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    return LiteRtTaps(
        litert.Interpreter(
            str(file), experimental_preserve_all_tensors=True, experimental_op_resolver_type=resolver, num_threads=1
        )
    )


class LiteRtTaps:
    """An interpreter that keeps the results of all operations."""

    def __init__(self, interpreter: Any) -> None:
        self._interpreter = interpreter
        details = {tensor["index"]: tensor["name"] for tensor in interpreter.get_tensor_details()}
        self._indices = {details[index]: index for op in interpreter._get_ops_details() for index in op["outputs"]}
        self.names = list(self._indices)

    def __call__(self, values: NDArray[Any], count: int) -> dict[str, NDArray[Any]]:
        (source,) = self._interpreter.get_input_details()
        self._interpreter.resize_tensor_input(source["index"], values.shape, strict=True)
        self._interpreter.allocate_tensors()
        self._interpreter.set_tensor(source["index"], values)
        self._interpreter.invoke()
        found = {name: self._interpreter.get_tensor(self._indices[name]) for name in self.names[:count]}
        return {name: value.transpose(0, 3, 1, 2) if value.ndim == 4 else value for name, value in found.items()}
