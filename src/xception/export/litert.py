"""A bundle's network as a LiteRT (TensorFlow Lite) flatbuffer, written operation by operation like the ONNX graph.

Maps are (N, H, W, C). TensorFlow's own padding, `SAME`, is used where it means the same for every size; all other
paddings are operations of their own.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xception.arch.graph import Add, BatchNorm, Conv, Dense, GlobalAveragePool, MaxPool, Relu, Scale
from xception.errors import UsageError
from xception.export.fold import affine
from xception.export.program import Normalize, Operation, Program, Softmax, TopK
from xception.extras import require
from xception.flatbuffer import Flatbuffer

VERSIONS = {"DEPTHWISE_CONV_2D": 2, "DEQUANTIZE": 3}
"""Of operations that use what a later version brought: dilation, and weights in half precision."""


def litert_files(program: Program) -> dict[str, bytes]:
    """`model.tflite` with the program's inputs and outputs; images and maps inside are (N, H, W, C).

    In float16 the weights of convolutions and of the classifier are half precision; the runtime computes in float32.

    Raises:
        MissingExtra: ai-edge-litert is not installed.
        UsageError: weights that float16 cannot hold.
    """
    return {"model.tflite": _Writer(program).content()}


class _Writer:
    """One model in the making; an operation's output bears the operation's name."""

    def __init__(self, program: Program) -> None:
        self.file, self.program = Flatbuffer(), program
        self.half = program.options.precision == "float16"
        self.shapes = {
            name: (*shape[1:], shape[0]) if len(shape) == 3 and name != "image" else shape
            for name, shape in program.shapes().items()
        }

    def content(self) -> bytes:
        graph = self.program.graph
        source = self.value(self.program.source, self.shapes[self.program.source], _input_type(graph.input_values))
        for node in self.program.nodes:
            OPERATIONS[type(node)](self, node)
        results = {output.name: self._output(output.value) for output in self.program.outputs}
        return self.file.finish(self.program.architecture.name, {graph.input_name: source}, results)

    def value(self, name: str, shape: Sequence[int], dtype: str = "float32") -> int:
        """An activation; `shape` is that for one image, without the batch axis."""
        batch, _, *sides = self.program.graph.input_shape
        free = [0] if batch is None else []
        free += [1, 2] if None in sides and len(shape) == 3 else []
        return self.file.value(name, (batch or 1, *shape), dtype, free=free)

    def constant(self, name: str, value: np.ndarray) -> int:
        return self.file.constant(name, value)

    def weight(self, name: str, value: np.ndarray) -> int:
        """A constant that half precision stores as such, and widens when the model is loaded."""
        if not self.half:
            return self.constant(name, value)
        with np.errstate(over="ignore"):
            stored = value.astype(np.float16)
        if not np.isfinite(stored).all():
            raise UsageError(f"{name} has values that float16 cannot hold; export in float32")
        source = self.constant(f"{name}.float16", stored)
        return self.add("DEQUANTIZE", [source], self.file.value(name, value.shape))

    def add(
        self, kind: str, inputs: Sequence[int | str], *outputs: int | str, options: str | None = None, **settings: Any
    ) -> int:
        """Append an operation; outputs by index, or by name to make them. Returns the index of its first output."""
        made = [self.value(out, self.shapes[out]) if isinstance(out, str) else out for out in outputs]
        return self.file.add(kind, inputs, made, options=options, version=VERSIONS.get(kind, 1), **settings)

    def _output(self, value: str) -> int:
        """The tensor of an output; maps go out as (N, C, H, W)."""
        index = self.file.indices[value]
        if self.program.outputs[0].value == value or len(self.shapes[value]) < 3:
            return index
        height, width, channels = self.shapes[value]
        order = self.constant(f"{value}.order", np.array([0, 3, 1, 2], np.int32))
        turned = self.value(f"{value}.nchw", (channels, height, width))
        return self.add("TRANSPOSE", [index, order], turned)


def _input_type(values: str) -> str:
    return "uint8" if values == "image" else "float32"


def _normalize(writer: _Writer, node: Normalize) -> None:
    name, shape = node.name, writer.shapes[node.name]
    factor, shift = (writer.constant(f"{name}.{leaf}", writer.program.tensors[f"{name}.{leaf}"]) for leaf in SCALING)
    image = writer.add("CAST", [node.source], writer.value(f"{name}.image", shape))
    scaled = writer.add("MUL", [image, factor], writer.value(f"{name}.scaled", shape))
    writer.add("ADD", [scaled, shift], name)


SCALING = ("factor", "shift")


def _conv(writer: _Writer, node: Conv) -> None:
    schema, tensors = writer.file.schema, writer.program.tensors
    kernel = tensors[f"{node.name}.weight"]
    bias = tensors[f"{node.name}.bias"] if node.bias else np.zeros(node.out_channels, np.float32)
    depthwise = node.groups > 1
    weight = writer.weight(f"{node.name}.weight", kernel.transpose((1, 2, 3, 0) if depthwise else (0, 2, 3, 1)))
    source, same = _padded(writer, node)
    multiplier: dict[str, Any] = {"depthMultiplier": 1} if depthwise else {}
    writer.add(
        "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D",
        [source, weight, writer.constant(f"{node.name}.bias", bias)],
        node.name,
        padding=schema.Padding.SAME if same else schema.Padding.VALID,
        strideW=node.stride,
        strideH=node.stride,
        dilationWFactor=node.dilation,
        dilationHFactor=node.dilation,
        **multiplier,
    )


def _padded(writer: _Writer, node: Conv) -> tuple[str, bool]:
    """The convolution's input, padded where `SAME` would not mean its padding, and whether `SAME` does."""
    if node.padding == 0:
        return node.source, False
    if node.stride == 1 and 2 * node.padding == node.dilation * (node.kernel - 1):
        return node.source, True
    return _pad(writer, node.source, f"{node.name}.pad", node.padding), False


def _pad(writer: _Writer, source: str, name: str, width: int, lowest: bool = False) -> str:
    height_px, width_px, channels = writer.shapes[source]
    writer.shapes[name] = (height_px + 2 * width, width_px + 2 * width, channels)
    edge = [width, width]
    inputs: list[int | str] = [
        source,
        writer.constant(f"{name}.widths", np.array([[0, 0], edge, edge, [0, 0]], np.int32)),
    ]
    if lowest:
        inputs.append(writer.constant(f"{name}.value", np.array(np.finfo(np.float32).min, np.float32)))
    if lowest:
        writer.add("PADV2", inputs, name, options="PadV2Options")
    else:
        writer.add("PAD", inputs, name)
    return name


def _batch_norm(writer: _Writer, node: BatchNorm) -> None:
    values = affine(node, writer.program.tensors)
    factor, shift = (writer.constant(f"{node.name}.{leaf}", values[leaf]) for leaf in SCALING)
    scaled = writer.value(f"{node.name}.scaled", writer.shapes[node.name])
    writer.add("MUL", [node.source, factor], scaled)
    writer.add("ADD", [scaled, shift], node.name)


def _relu(writer: _Writer, node: Relu) -> None:
    writer.add("RELU", [node.source], node.name)


def _max_pool(writer: _Writer, node: MaxPool) -> None:
    same = node.padding == "same"
    # Padding never wins the maximum, which is why it is not zero.
    source = node.source if same else _pad(writer, node.source, f"{node.name}.pad", 1, lowest=True)
    writer.add(
        "MAX_POOL_2D",
        [source],
        node.name,
        options="Pool2DOptions",
        padding=writer.file.schema.Padding.SAME if same else writer.file.schema.Padding.VALID,
        strideW=node.stride,
        strideH=node.stride,
        filterWidth=3,
        filterHeight=3,
    )


def _add(writer: _Writer, node: Add) -> None:
    writer.add("ADD", [node.source, node.other], node.name)


def _scale(writer: _Writer, node: Scale) -> None:
    factor = writer.constant(f"{node.name}.factor", np.array(node.factor, np.float32))
    writer.add("MUL", [node.source, factor], node.name)


def _global_average_pool(writer: _Writer, node: GlobalAveragePool) -> None:
    axes = writer.constant(f"{node.name}.axes", np.array([1, 2], np.int32))
    writer.add("MEAN", [node.source, axes], node.name, options="ReducerOptions")


def _dense(writer: _Writer, node: Dense) -> None:
    weight = writer.weight(f"{node.name}.weight", writer.program.tensors[f"{node.name}.weight"])
    bias = writer.constant(f"{node.name}.bias", writer.program.tensors[f"{node.name}.bias"])
    writer.add("FULLY_CONNECTED", [node.source, weight, bias], node.name)


def _softmax(writer: _Writer, node: Softmax) -> None:
    writer.add("SOFTMAX", [node.source], node.name, beta=1.0)


def _top_k(writer: _Writer, node: TopK) -> None:
    count = writer.constant(f"{node.name}.count", np.array(node.count, np.int32))
    indices = writer.value(f"{node.name}.indices", (node.count,), "int32")
    writer.add("TOPK_V2", [node.source, count], f"{node.name}.values", indices, options="TopKV2Options")


OPERATIONS: Mapping[type[Operation], Callable[[_Writer, Any], None]] = {
    Normalize: _normalize,
    Conv: _conv,
    BatchNorm: _batch_norm,
    Relu: _relu,
    MaxPool: _max_pool,
    Add: _add,
    Scale: _scale,
    GlobalAveragePool: _global_average_pool,
    Dense: _dense,
    Softmax: _softmax,
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
