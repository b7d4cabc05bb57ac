"""Faults that exporters have been seen to make, planted into a program before it is written."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from xception.arch.graph import BatchNorm, Conv, MaxPool, Scale
from xception.export.program import Operation, Program, program


def swapped_channels(program: Program) -> tuple[Program, str]:
    first = next(node for node in program.nodes if isinstance(node, Conv))
    return with_tensor(program, f"{first.name}.weight", program.tensors[f"{first.name}.weight"][:, ::-1]), first.name


def missing_norm(program: Program) -> tuple[Program, str]:
    norm = [node for node in program.nodes if isinstance(node, BatchNorm)][1]
    return with_node(program, Scale(norm.name, norm.source, 1.0)), norm.name


def wrong_epsilon(program: Program) -> tuple[Program, str]:
    norm = [node for node in program.nodes if isinstance(node, BatchNorm)][1]
    return with_node(program, replace(norm, epsilon=1e-1)), norm.name


def unfolded_norm(program: Program) -> tuple[Program, str]:
    """A norm that was to be folded into its convolution, and was forgotten."""
    conv = next(node for node in program.nodes if isinstance(node, Conv) and node.name.startswith("blocks.1.units.0"))
    weight = program.tensors[f"{conv.name}.weight"]
    return with_tensor(program, f"{conv.name}.weight", weight / np.abs(weight).max()), conv.name


def wrong_pool_padding(program: Program) -> tuple[Program, str]:
    pool = next(node for node in program.nodes if isinstance(node, MaxPool))
    other = "same" if pool.padding == "symmetric" else "symmetric"
    return with_node(program, replace(pool, padding=other)), pool.name


FAULTS: dict[str, tuple[str, Callable[[Program], tuple[Program, str]]]] = {
    "swapped channels": ("keras_xception", swapped_channels),
    "missing norm": ("timm_xception41p", missing_norm),
    "wrong epsilon": ("timm_xception41p", wrong_epsilon),
    "unfolded norm": ("timm_xception41", unfolded_norm),
    "same instead of symmetric": ("timm_xception", wrong_pool_padding),
    "symmetric instead of same": ("keras_xception", wrong_pool_padding),
}
"""The variant to plant it in, and the fault with the name of the operation where it sits."""


def with_node(program: Program, node: Operation) -> Program:
    return replace(program, nodes=tuple(node if old.name == node.name else old for old in program.nodes))


def with_tensor(program: Program, name: str, value: np.ndarray) -> Program:
    return replace(program, tensors={**program.tensors, name: np.ascontiguousarray(value)})


def with_another_bias(patch: pytest.MonkeyPatch) -> None:
    """Let exports be made of weights that are not the bundle's."""

    def perturbed(spec: object, tensors: dict[str, np.ndarray], *rest: object) -> Program:
        bias = tensors["head.classifier.bias"] + np.float32(0.01)
        return program(spec, {**tensors, "head.classifier.bias": bias}, *rest)

    patch.setattr("xception.export.export.program", perturbed)
