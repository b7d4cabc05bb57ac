"""Writer of a LiteRT (TensorFlow Lite) flatbuffer: the tensors, constants and operations of one graph."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xception.extras import require

SCHEMA_VERSION = 3
IDENTIFIER = b"TFL3"
SIGNATURE_KEY = b"serving_default"

WITHOUT_OPTIONS = ("LOGISTIC", "RELU")


@dataclass(frozen=True)
class Grid:
    """Real value = (integer - zero) * scale, with one scale and zero for a tensor or one for each index of `axis`."""

    scales: tuple[float, ...]
    zeros: tuple[int, ...]
    axis: int = 0


class Flatbuffer:
    """Tensors are known by their names and by the index that adding one returns.

    Raises:
        MissingExtra: ai-edge-litert is not installed.
    """

    def __init__(self) -> None:
        self.schema = require("ai_edge_litert.schema_py_generated", "litert")
        self._types = {
            np.dtype(name): getattr(self.schema.TensorType, name.upper())
            for name in ("float32", "float16", "int32", "int8", "uint8")
        }
        self._buffers = [self.schema.BufferT()]  # the first one is empty by convention
        self._tensors: list[Any] = []
        self._operators: list[Any] = []
        self._codes: dict[tuple[str, int], int] = {}
        self.indices: dict[str, int] = {}

    def value(
        self,
        name: str,
        shape: Sequence[int],
        dtype: str = "float32",
        *,
        free: Collection[int] = (),
        grid: Grid | None = None,
    ) -> int:
        """A tensor that is computed, or an input; `free` are the axes of any size, for which `shape` is an example."""
        tensor = self._tensor(name, shape, dtype, grid)
        if free:
            tensor.shapeSignature = [-1 if axis in free else size for axis, size in enumerate(shape)]
        return self.indices[name]

    def constant(self, name: str, value: np.ndarray, grid: Grid | None = None) -> int:
        """A tensor with its content."""
        stored = np.ascontiguousarray(value)
        tensor = self._tensor(name, stored.shape, stored.dtype.name, grid)
        tensor.buffer = len(self._buffers)
        buffer = self.schema.BufferT()
        buffer.data = np.frombuffer(stored.tobytes(), np.uint8)
        self._buffers.append(buffer)
        return self.indices[name]

    def shape(self, index: int) -> tuple[int, ...]:
        """The shape of a tensor, with the examples for free axes."""
        return tuple(self._tensors[index].shape)

    def add(
        self,
        kind: str,
        inputs: Sequence[int | str],
        outputs: Sequence[int],
        *,
        options: str | None = None,
        version: int = 1,
        **settings: Any,
    ) -> int:
        """Append an operation. Returns the index of its first output.

        `options` is the schema's table of its settings, where the name does not tell.
        """
        table = options or f"{kind.title().replace('_', '')}Options"
        operator = self.schema.OperatorT()
        operator.opcodeIndex = self._codes.setdefault((kind, version), len(self._codes))
        operator.inputs = [self.indices[value] if isinstance(value, str) else value for value in inputs]
        operator.outputs = list(outputs)
        if kind not in WITHOUT_OPTIONS:
            operator.builtinOptionsType = getattr(self.schema.BuiltinOptions, table)
            operator.builtinOptions = getattr(self.schema, f"{table}T")()
        for name, value in settings.items():
            setattr(operator.builtinOptions, name, value)
        self._operators.append(operator)
        return outputs[0]

    def finish(self, name: str, inputs: Mapping[str, int], outputs: Mapping[str, int]) -> bytes:
        """The file, whose inputs and outputs take the names given here."""
        made = self.schema.ModelT()
        made.version, made.description = SCHEMA_VERSION, b"xception"
        made.buffers, made.operatorCodes = self._buffers, [self._code(*key) for key in self._codes]
        made.subgraphs = [self._subgraph(name, list(inputs.values()), list(outputs.values()))]
        made.signatureDefs = [self._signature(inputs, outputs)]
        for port, index in {**inputs, **outputs}.items():
            self._tensors[index].name = port.encode()
        builder = require("flatbuffers", "litert").Builder(1 << 20)
        builder.Finish(made.Pack(builder), IDENTIFIER)
        return bytes(builder.Output())

    def _tensor(self, name: str, shape: Sequence[int], dtype: str, grid: Grid | None) -> Any:
        tensor = self.schema.TensorT()
        tensor.name, tensor.shape, tensor.type = name.encode(), list(shape), self._types[np.dtype(dtype)]
        tensor.buffer = 0
        if grid is not None:
            tensor.quantization = self.schema.QuantizationParametersT()
            tensor.quantization.scale, tensor.quantization.zeroPoint = list(grid.scales), list(grid.zeros)
            tensor.quantization.quantizedDimension = grid.axis
        self.indices[name] = len(self._tensors)
        self._tensors.append(tensor)
        return tensor

    def _code(self, kind: str, version: int) -> Any:
        code = self.schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = getattr(self.schema.BuiltinOperator, kind)
        code.version = version
        return code

    def _subgraph(self, name: str, inputs: list[int], outputs: list[int]) -> Any:
        subgraph = self.schema.SubGraphT()
        subgraph.name = name.encode()
        subgraph.tensors, subgraph.operators = self._tensors, self._operators
        subgraph.inputs, subgraph.outputs = inputs, outputs
        return subgraph

    def _signature(self, inputs: Mapping[str, int], outputs: Mapping[str, int]) -> Any:
        signature = self.schema.SignatureDefT()
        signature.signatureKey, signature.subgraphIndex = SIGNATURE_KEY, 0
        signature.inputs, signature.outputs = self._tensor_maps(inputs), self._tensor_maps(outputs)
        return signature

    def _tensor_maps(self, names: Mapping[str, int]) -> list[Any]:
        maps = []
        for name, index in names.items():
            entry = self.schema.TensorMapT()
            entry.name, entry.tensorIndex = name.encode(), index
            maps.append(entry)
        return maps
