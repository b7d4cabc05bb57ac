"""Description of a graph file, the same for ONNX, OpenVINO and LiteRT."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xception.bundle import Precision
from xception.errors import InputError
from xception.forms import FORMS, Form

MAX_OPERATIONS = 100_000
"""Operations of a graph that is looked at; the networks here have some hundred."""

MAX_GRAPH_ELEMENTS = 1 << 31
"""Numbers in one value of a graph; a small file may ask a runtime for more than any memory holds."""


SHAPE_READERS = ("Shape", "ShapeOf", "SHAPE")
"""Operations on the shape of a value, by the names of all formats."""


@dataclass(frozen=True, kw_only=True)
class GraphPort:
    """An input or output: NumPy's name of its type, and its shape, with None for a free size."""

    name: str
    value: str
    """The value in the graph that enters or leaves by it."""
    dtype: str
    shape: tuple[int | None, ...] | None
    """None where the file does not tell even the number of axes."""
    is_quantized: bool = False
    """Its integers stand for real numbers on a grid."""

    def __str__(self) -> str:
        sizes = "?" if self.shape is None else " x ".join("any" if size is None else str(size) for size in self.shape)
        return f"{self.name} ({self.dtype}, {sizes})"


@dataclass(frozen=True, kw_only=True)
class GraphOperation:
    """One operation. `kind` is the format's own name for it, in its own spelling."""

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)


ReadConstant = Callable[[], NDArray[Any]]


@dataclass(frozen=True, kw_only=True)
class GraphOutline:
    """All that a file says about its graph; nothing of it was run.

    Attributes:
        path: the file.
        form: its form.
        producer: the program that wrote it, with its version, as far as the file tells.
        opset: the version of the operations.
        inputs: without constants.
        outputs: in their order.
        operations: each after those that it reads.
        constants: by the name of the value; read when they are asked for.
        shapes: of the constants.
        precision: the numbers that most of its weights are stored in.
        files: the content of the bundle's files by name.
        notes: what was done to the file, in sentences.
    """

    path: Path
    form: Form
    producer: str
    opset: str
    inputs: tuple[GraphPort, ...]
    outputs: tuple[GraphPort, ...]
    operations: tuple[GraphOperation, ...]
    constants: Mapping[str, ReadConstant]
    shapes: Mapping[str, tuple[int, ...]]
    precision: Precision
    files: Mapping[str, bytes | Path]
    notes: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Format, version and origin for people."""
        return f"{FORMS[self.form].title}, {self.opset}, written by {self.producer}"

    def maker(self, value: str) -> GraphOperation | None:
        """The operation whose result a value is."""
        return next((row for row in self.operations if value in row.outputs), None)

    def readers(self, value: str) -> Iterator[GraphOperation]:
        """The operations that read the numbers of a value, and not only its shape."""
        return (row for row in self.operations if value in row.inputs and row.kind not in SHAPE_READERS)


def refuse(path: Path, reason: str, advice: str) -> InputError:
    """The error for a graph that is not adopted."""
    return InputError(f"{path} cannot be adopted: {reason}; {advice}")


def check_size(path: Path, name: str, shape: tuple[int | None, ...]) -> None:
    """Refuse a value that would fill the memory.

    Raises:
        InputError: it has too many numbers.
    """
    numbers = prod(size or 1 for size in shape)
    if numbers > MAX_GRAPH_ELEMENTS:
        raise refuse(path, f"its value {name} has {numbers:,} numbers", f"expected at most {MAX_GRAPH_ELEMENTS:,}")


def check_operations(path: Path, kinds: Mapping[str, int], banned: frozenset[str]) -> None:
    """Refuse graphs of too many operations, and those whose course depends on what they compute.

    Raises:
        InputError: there is such an operation.
    """
    if sum(kinds.values()) > MAX_OPERATIONS:
        raise refuse(path, f"it has {sum(kinds.values()):,} operations", f"expected at most {MAX_OPERATIONS:,}")
    found = sorted(banned & kinds.keys())
    if found:
        raise refuse(
            path,
            f"it branches or loops ({', '.join(found)}), so its layers do not tell what it computes",
            "export the network again with its course fixed, as by tracing",
        )


def main_precision(types: Mapping[np.dtype[Any], int], *, is_quantized: bool) -> Precision:
    """The precision of a graph by the numbers that its constants are stored in.

    Args:
        types: count of the numbers in constants by their type.
        is_quantized: the graph computes on integers that stand for real numbers.
    """
    if is_quantized:
        return "int8"
    halves, singles = types.get(np.dtype(np.float16), 0), types.get(np.dtype(np.float32), 0)
    return "float16" if halves > singles else "float32"
