"""A bundle's network in torch's own formats, traced from a module of the very operations that all writers walk."""

import io
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

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
    unfold,
)
from xception.arch.spec import Architecture
from xception.backends.graph_session import graph_input
from xception.bundle import Bundle
from xception.errors import CheckFailed, InputError
from xception.export.program import Normalize, Operation, Program, Sigmoid, TopK, Values

EXAMPLES = 2
"""Images to trace with: torch takes a batch of one for a constant."""


def pt2_files(program: Program) -> dict[str, bytes]:
    """`model.pt2`, what `torch.export` makes of the program: ATen operations, free or fixed sizes as the program's."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch's own copying of what it deprecates itself
        # Into the operations that converters read: coremltools takes no others.
        made = _exported(program).run_decompositions({})
    torch.export.save(made, file)
    return {"model.pt2": file.getvalue()}


def torchscript_files(program: Program) -> dict[str, bytes]:
    """`model.pt`, the traced program as TorchScript, which takes any batch; and any size where the program does."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch prefers its newer format, users of the older remain
        traced = torch.jit.trace(ProgramModule(program), _example(program), check_trace=False)  # type: ignore[no-untyped-call]
        torch.jit.save(traced, file)
    return {"model.pt": file.getvalue()}


def run_pt2(exported: Bundle, batches: Mapping[str, NDArray[Any]]) -> dict[str, Values]:
    """All outputs of an own `.pt2` file on named batches of pixels."""
    return _run(exported, _loaded(exported, torch.export.load).module(), batches)


def run_torchscript(exported: Bundle, batches: Mapping[str, NDArray[Any]]) -> dict[str, Values]:
    """All outputs of an own TorchScript file on named batches of pixels."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return _run(exported, _loaded(exported, torch.jit.load), batches)


def _loaded(exported: Bundle, load: Callable[..., Any]) -> Any:
    try:
        return load(io.BytesIO(exported.content()))
    # Torch raises what the reader of the container raises, among others RuntimeError, ValueError and KeyError.
    except Exception as error:
        raise InputError(f"torch refuses {exported.main_file}: {error}; export the bundle again") from error


def _run(exported: Bundle, module: Any, batches: Mapping[str, NDArray[Any]]) -> dict[str, Values]:
    graph = exported.graph
    found: dict[str, Values] = {}
    for batch, pixels in batches.items():
        source = torch.from_numpy(graph_input(pixels, graph, exported.model.preprocess))
        try:
            with torch.inference_mode():
                results = module(source)
        except (RuntimeError, AssertionError) as error:
            raise CheckFailed(f"the {exported.model.form} file does not run on {batch}: {error}") from error
        found[batch] = {name: value.numpy() for name, value in zip(graph.outputs, results, strict=True)}
    return found


def network_values(
    architecture: Architecture, tensors: Mapping[str, NDArray[Any]], pixels: NDArray[Any]
) -> dict[str, NDArray[Any]]:
    """Values of all operations of the unfolded network for pixels (N, C, H, W), by name and in their order."""
    values = {INPUT: torch.from_numpy(pixels)}
    with torch.inference_mode():
        for node in unfold(architecture):
            values |= OperationModule(node, tensors)(values)
    return {name: value.numpy() for name, value in values.items()}


class ProgramModule(nn.Module):
    """A program as a module: its input to its outputs, in their order."""

    def __init__(self, program: Program) -> None:
        super().__init__()
        self.source = program.source
        self.outputs = [output.value for output in program.outputs]
        # A module's name may hold no dot.
        sides = {} if program.options.free_size else {name: shape[1:] for name, shape in program.shapes().items()}
        self.steps = nn.ModuleDict(
            {
                node.name.replace(".", "_"): OperationModule(node, program.tensors, sides.get(node.source))
                for node in program.nodes
            }
        )
        self.eval()

    def forward(self, source: Tensor) -> tuple[Tensor, ...]:
        values = {self.source: source}
        for step in self.steps.values():
            values |= step(values)
        return tuple(values[name] for name in self.outputs)


class OperationModule(nn.Module):
    """One operation, with its tensors as buffers."""

    def __init__(
        self, node: Operation, tensors: Mapping[str, NDArray[Any]], sides: tuple[int, ...] | None = None
    ) -> None:
        """`sides` are height and width of what comes in, where they are always the same."""
        super().__init__()
        self.node, self.sides = node, sides
        for name, value in tensors.items():
            owner, _, leaf = name.rpartition(".")
            if owner == node.name:
                self.register_buffer(leaf, torch.from_numpy(np.array(value, np.float32)))

    def forward(self, values: dict[str, Tensor]) -> dict[str, Tensor]:
        """The operation's values by name, of those computed before."""
        return operation_values(self.node, dict(self.named_buffers()), values, self.sides)


def operation_values(
    node: Operation, tensors: Mapping[str, Tensor], values: Mapping[str, Tensor], sides: tuple[int, ...] | None = None
) -> dict[str, Tensor]:
    """An operation's values by name.

    Args:
        node: the operation.
        tensors: its tensors by the last part of their names, such as `weight`.
        values: those computed before.
        sides: height and width of what comes in, where they are always the same.
    """
    x = values[node.source]
    match node:
        case TopK():
            best, indices = x.topk(node.count, 1)
            return {f"{node.name}.values": best, f"{node.name}.indices": indices}
        case Concat():
            return {node.name: torch.cat((x, values[node.other]), 1)}
        case Add():
            return {node.name: x + values[node.other]}
        case _:
            return {node.name: _unary(node, tensors, x, sides)}


def _unary(node: Operation, tensors: Mapping[str, Tensor], x: Tensor, sides: tuple[int, ...] | None) -> Tensor:
    match node:
        case Normalize():
            return (x.to(torch.float32) * tensors["factor"] + tensors["shift"]).permute(0, 3, 1, 2)
        case Conv():
            weight, bias = tensors["weight"], tensors.get("bias")
            return functional.conv2d(x, weight, bias, node.stride, node.padding, node.dilation, node.groups)
        case BatchNorm():
            statistics = tensors["running_mean"], tensors["running_var"]
            return functional.batch_norm(x, *statistics, tensors["weight"], tensors["bias"], eps=node.epsilon)
        case Relu():
            return functional.relu(x)
        case MaxPool():
            return _max_pool(x, node, sides)
        case Scale():
            return x * node.factor
        case GlobalAveragePool():
            return x.mean((2, 3))
        case GlobalMaxPool():
            return x.amax((2, 3))
        case Dense():
            return functional.linear(x, tensors["weight"], tensors["bias"])
        case Sigmoid():
            return x.sigmoid()
        case _:
            return x.softmax(1)


def _max_pool(x: Tensor, node: MaxPool, sides: tuple[int, ...] | None) -> Tensor:
    if node.padding == "symmetric" or node.stride == 1:
        return functional.max_pool2d(x, 3, node.stride, padding=1)
    # TensorFlow's padding as numbers where the size is known, and else as arithmetic on the size, which a trace keeps
    # instead of a choice, which it would not.
    height, width = sides or x.shape[2:]
    before = [width % 2, height % 2]
    padded = functional.pad(x, (before[0], 1, before[1], 1), value=float("-inf"))
    return functional.max_pool2d(padded, 3, node.stride)


def _example(program: Program) -> Tensor:
    batch, channels = program.graph.input_shape[:2]
    shape = (batch or EXAMPLES, channels, *program.size_px)
    if program.graph.input_values == "image":
        return torch.zeros([shape[axis] for axis in (0, 2, 3, 1)], dtype=torch.uint8)
    return torch.zeros(shape)


def _exported(program: Program) -> torch.export.ExportedProgram:
    dim = torch.export.Dim
    free = [axis for axis in (0, 2, 3) if program.graph.input_shape[axis] is None]
    if program.graph.input_layout == "nhwc":
        free = [{0: 0, 2: 1, 3: 2}[axis] for axis in free]
    dynamic = (dict.fromkeys(free, dim.DYNAMIC),) if free else None
    return torch.export.export(ProgramModule(program), (_example(program),), dynamic_shapes=dynamic)
