"""The numbers of a source's own code against those of the network here."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from parity import seeded
from parity.cases import Case
from parity.ours import logits, relative_difference, source_of
from parity.torch_network import TorchNetwork
from xception.arch.spec import Architecture, with_output_stride
from xception.convert.conversion import convert_checkpoint
from xception.convert.naming.rename import NamingScheme, rename
from xception.convert.readers import read_checkpoint
from xception.convert.statements import stated_facts
from xception.convert.weight_groups import weight_groups
from xception.errors import XceptionError
from xception.models.network import build

TRAIN_PX, TRAIN_BATCH = 97, 4
LIMITS = {"float32": 1e-5, "float64": 1e-12}
"""float32 differs by less than 1e-6 in networks of this depth, and the smallest fault that was tried, a wrong epsilon,
by more than 1e-3."""
NOISE = 1e-9
"""Gradients this much smaller than the network's largest are zero by theory (an offset in front of a norm), so that
only rounding would be compared."""

Arrays = Mapping[str, np.ndarray]


@dataclass(kw_only=True)
class Comparison:
    """Relative differences of one case: by type and image size, by output stride, and of a training step; and what is
    wrong with each checkpoint that the source wrote, by file name, where "" means that all tensors came back."""

    case: Case
    versions: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, dict[int, float]] = field(default_factory=dict)
    strides: dict[int, float] = field(default_factory=dict)
    training: dict[str, float] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    problem: str = ""

    @property
    def passed(self) -> bool:
        differences = [(dtype, value) for dtype, sizes in self.sizes.items() for value in sizes.values()]
        differences += [("float64", value) for value in (*self.strides.values(), *self.training.values())]
        complete = bool(differences and self.files) and not self.problem
        return complete and not any(self.files.values()) and all(value <= LIMITS[dtype] for dtype, value in differences)


def inference(case: Case, values: Arrays, expected: Mapping[int, np.ndarray]) -> dict[str, dict[int, float]]:
    """Relative differences of the logits by type and image size."""
    # A source that computes in float32 says nothing about more digits.
    dtypes = ("float32",) if case.upstream.dtype == "float32" else ("float32", "float64")
    return {
        dtype: {px: difference(case, values, px, theirs, dtype) for px, theirs in expected.items()} for dtype in dtypes
    }


def difference(
    case: Case, values: Arrays, px: int, theirs: np.ndarray, dtype: str, output_stride: int | None = None
) -> float:
    """The relative difference of the logits of images of one size."""
    spec = case.spec if output_stride is None else with_output_stride(case.spec, output_stride)
    if case.upstream.float32_epsilon and dtype == "float64":
        spec = _with_float32_epsilon(spec)
    pixels = seeded.pixels(px, spec.in_channels, case.batch)
    return relative_difference(logits(build(spec, values), pixels, getattr(torch, dtype)), theirs)


def _with_float32_epsilon(spec: Architecture) -> Architecture:
    return replace(spec, norm=replace(spec.norm, epsilon=float(np.float32(spec.norm.epsilon))))


def files(case: Case, values: Arrays, folder: Path) -> dict[str, str]:
    """What is wrong with each checkpoint in a folder, by its name."""
    spec, scheme = case.spec, source_of(case.variant, case.scheme)
    problems = {path.name: _problem(path, spec, scheme, values) for path in sorted(folder.iterdir())}
    if case.model_args:
        stated = convert_checkpoint(folder / "folder").model.network.architecture()
        problems["folder"] = problems["folder"] or ("" if stated == spec else "it states another network")
    return problems


def _problem(path: Path, spec: Architecture, scheme: NamingScheme, values: Arrays) -> str:
    try:
        checkpoint = read_checkpoint(path)
        (group,) = weight_groups(checkpoint, stated_facts(checkpoint))
        renamed = rename(group.tensors, spec, scheme)
    except XceptionError as error:
        return str(error)
    different = [name for name, value in values.items() if not np.array_equal(renamed[name], value)]
    return f"{', '.join(different)} came back changed" if different else ""


def training(case: Case, values: Arrays, theirs: Arrays) -> dict[str, float]:
    """The worst relative differences after one training step, by kind: loss, gradients, running statistics."""
    spec = case.spec
    network = TorchNetwork(build(spec, values), "float64")
    labels = seeded.labels(TRAIN_PX, spec.num_classes, TRAIN_BATCH)
    ours = network.train_step(seeded.pixels(TRAIN_PX, batch=TRAIN_BATCH), labels)
    names = {name: there.name for name, there in source_of(case.variant, case.scheme).tensor_names(spec).items()}
    return worst_by_kind({_renamed(key, names): value for key, value in ours.items()}, theirs)


def _renamed(key: str, names: Mapping[str, str]) -> str:
    kind, slash, name = key.partition("/")
    return kind + slash + names.get(name, name)


def worst_by_kind(ours: Arrays, theirs: Arrays) -> dict[str, float]:
    """The worst relative difference of all arrays whose keys share the word before the first slash."""
    largest = max(np.abs(array).max() for key, array in theirs.items() if key.startswith("gradients/"))
    worst: dict[str, float] = {}
    for key, array in ours.items():
        kind = key.partition("/")[0]
        if kind != "gradients" or np.abs(theirs[key]).max() > NOISE * largest:
            worst[kind] = max(worst.get(kind, 0.0), relative_difference(array, theirs[key]))
    return worst
