"""Keras' files: HDF5 in three arrangements, and a zip archive around the newest of them.

Every tensor is named "<layer>/<leaf>", such as "block1_conv1/kernel"; a layer in a network inside the network has that
network's name in front, as in "xception/block1_conv1/kernel".
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from xception.convert.readers.binary import decode_json
from xception.convert.readers.checkpoint import CheckpointContents, Gathering
from xception.convert.readers.hdf5 import HDF5Node, open_hdf5
from xception.convert.readers.limits import MAX_DEPTH, MAX_JSON_BYTES
from xception.convert.readers.zips import Archive
from xception.errors import InputError

KERAS_WEIGHTS_FILE = "model.weights.h5"
"""The member of a `.keras` archive that holds the weights."""

# The group for weights that belong to no layer.
_OUTSIDE_LAYERS = "top_level_model_weights"

_CONFIG, _METADATA = "config.json", "metadata.json"

# Keras 3 numbers a layer's variables in the order in which the class creates them [keras 3.15.1, run]. A batch
# normalisation without scale or center has fewer, and only their number is known then.
_LEAVES = {
    "conv2d": ("kernel", "bias"),
    "dense": ("kernel", "bias"),
    "depthwise_conv2d": ("kernel", "bias"),
    "separable_conv2d": ("depthwise_kernel", "pointwise_kernel", "bias"),
    "batch_normalization": ("gamma", "beta", "moving_mean", "moving_variance"),
}
_WITHOUT_LAST = ("conv2d", "dense", "depthwise_conv2d", "separable_conv2d")
_NO_WEIGHTS = ("optimizer", "optimizer_weights", "seed_generator")


def read_keras_hdf5(_: Path, data: memoryview) -> CheckpointContents:
    """The weights of a whole model (`.h5`, `.hdf5`), of `save_weights` before Keras 3, or of a `.weights.h5`."""
    root = open_hdf5(data)
    if "model_weights" in root.children:
        return _read_layers("keras_h5", root, root.child("model_weights"), len(data))
    if root.texts("layer_names") is not None:
        return _read_layers("keras_h5_weights", root, root, len(data))
    gathering = _gather_variables(root, len(data))
    return CheckpointContents(
        container="keras_weights_h5", groups=gathering.groups, metadata={"left_out": _left_out(root)}
    )


def read_keras_zip(archive: Archive) -> CheckpointContents:
    """The weights of a `.keras` archive; `metadata` has its "model_config" and "keras_version"."""
    weights = archive.read(KERAS_WEIGHTS_FILE)
    root = open_hdf5(weights)
    gathering = _gather_variables(root, len(weights))
    metadata = {
        "keras_version": decode_json(archive.read(_METADATA), _METADATA).get("keras_version"),
        "model_config": decode_json(archive.read(_CONFIG), _CONFIG),
        "left_out": _left_out(root),
    }
    return CheckpointContents(container="keras_zip", groups=gathering.groups, metadata=metadata)


def _read_layers(container: str, root: HDF5Node, weights: HDF5Node, file_bytes: int) -> CheckpointContents:
    """The arrangement before Keras 3: attributes list the layers and each layer's tensors, in the network's order."""
    gathering = Gathering(file_bytes)
    layers = weights.texts("layer_names") or []
    for layer in (*layers, *(name for name in weights.children if name == _OUTSIDE_LAYERS)):
        group = weights.child(layer)
        paths = group.texts("weight_names") or []
        for path, name in zip(paths, _leaf_names(paths), strict=True):
            gathering.add(f"{layer}/{name}", group.child(path).array())
    if not gathering.groups:
        raise InputError("it lists no layer with weights; expected the weights of a network")
    metadata = {"layer_names": layers, "left_out": _left_out(root)} | _facts(root, weights)
    return CheckpointContents(container=container, groups=gathering.groups, metadata=metadata)


def _facts(root: HDF5Node, weights: HDF5Node) -> dict[str, object]:
    """The facts about the network in the attributes; files of Keras 1 have none."""
    facts: dict[str, object] = {name: weights.text(name) for name in ("keras_version", "backend")}
    config = root.text("model_config", MAX_JSON_BYTES)
    facts["model_config"] = decode_json(memoryview(config.encode()), "its model_config") if config else None
    return {name: fact for name, fact in facts.items() if fact}


def _left_out(root: HDF5Node) -> list[str]:
    return [name for name in root.children if name in _NO_WEIGHTS]


def _leaf_names(paths: list[str]) -> list[str]:
    """The last part of each path, or the last two if the paths pass several layers: then the layer is a network."""
    parts = [path.removesuffix(":0").split("/") for path in paths]
    is_network = len({tuple(part[-2:-1]) for part in parts}) > 1
    return ["/".join(part[-2:] if is_network else part[-1:]) for part in parts]


def _gather_variables(root: HDF5Node, file_bytes: int) -> Gathering:
    gathering = Gathering(file_bytes)
    for prefix, variables, kind in _variable_groups(root, (), 0):
        indices = sorted(variables.children, key=lambda index: (len(index), index))
        for index, leaf in zip(indices, _leaves(kind, indices), strict=True):
            gathering.add("/".join((*prefix, leaf)), variables.child(index).array())
    if not gathering.groups:
        raise InputError(
            "it is an HDF5 file without Keras' weights; expected layer_names, model_weights or layers with vars"
        )
    return gathering


def _variable_groups(
    group: HDF5Node, prefix: tuple[str, ...], depth: int
) -> Iterator[tuple[tuple[str, ...], HDF5Node, str]]:
    """The names of a layer and of the networks around it, its group of variables, and its class in snake case.

    Groups are named by class and number; the layer's own name is an attribute of its variables. Where it is missing,
    the layer is called by both, as in "conv2d:3".
    """
    if depth > MAX_DEPTH:
        raise InputError(f"it nests layers deeper than {MAX_DEPTH}, which no network of this family does")
    own_name = group.path.rpartition("/")[2]
    if "vars" in group.children:
        variables = group.child("vars")
        kind, number = _class_and_number(own_name)
        # Before Keras 3.6 a layer's name is nowhere; the number is that of its place among the layers of its class.
        unnamed = f"{kind}:{number}" if variables.children else own_name
        prefix = (*prefix, variables.text("name") or unnamed) if depth else ()
        yield prefix, variables, kind
    for name in group.children:
        if name not in ("vars", *_NO_WEIGHTS):
            yield from _variable_groups(group.child(name), prefix, depth + 1)


def _class_and_number(group: str) -> tuple[str, int]:
    """A layer's class in snake case and its number in that class, from a group's name such as "conv2d_3"."""
    match = re.fullmatch(r"(.*?)(?:_(\d{1,9}))?", group)
    return (match[1], int(match[2] or 0)) if match else (group, 0)


def _leaves(kind: str, indices: list[str]) -> list[str]:
    """The leaves that stand behind a layer's numbers; of a layer that is spread over files there may be few."""
    leaves = _LEAVES.get(kind, ())
    are_sure = kind in _WITHOUT_LAST or len(indices) == len(leaves)
    known = dict(zip(map(str, range(len(leaves))), leaves, strict=True)) if are_sure else {}
    return [known.get(index, index) for index in indices]


def complete_norms(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The tensors of several files together, where a batch normalisation that was spread over them is whole now."""
    norm = _LEAVES["batch_normalization"]
    found: dict[str, set[str]] = {}
    for name in tensors:
        layer, _, leaf = name.rpartition("/")
        found.setdefault(layer, set()).add(leaf)
    numbers = {str(index): leaf for index, leaf in enumerate(norm)}
    whole = {layer for layer, leaves in found.items() if leaves == numbers.keys()}

    def named(name: str) -> str:
        layer, slash, leaf = name.rpartition("/")
        return layer + slash + numbers[leaf] if layer in whole else name

    return {named(name): value for name, value in tensors.items()}
