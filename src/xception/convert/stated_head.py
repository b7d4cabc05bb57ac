"""The tensors of a stated head, found under the names of its layers and given the names of the network's own."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from xception.arch.compute import CLASSIFIER_BIAS, CLASSIFIER_WEIGHT, HIDDEN_BIAS, HIDDEN_WEIGHT
from xception.arch.spec import Architecture
from xception.arch.stackwise import Stackwise
from xception.convert.heads import layer_name
from xception.convert.naming.rename import Tensors, UpstreamTensor
from xception.convert.naming.schemes import upstream_names
from xception.convert.stated import StatedFacts

HIDDEN = "hidden"
"""The hidden layer's name, in the place of the classifier's at its source."""

ROLES: Mapping[str, tuple[str, str]] = {
    "classifier": (CLASSIFIER_WEIGHT, CLASSIFIER_BIAS),
    HIDDEN: (HIDDEN_WEIGHT, HIDDEN_BIAS),
}
"""Canonical tensors of the layers of a head."""


def head_names(source: str, variant: str, stackwise: Stackwise | None = None) -> dict[str, UpstreamTensor]:
    """A source's names for all tensors of a variant, and for those of a hidden layer, which no source publishes."""
    names = dict(upstream_names(source, variant, stackwise))
    for hidden, classifier in zip(ROLES[HIDDEN], ROLES["classifier"], strict=True):
        there = names[classifier]
        names[hidden] = replace(there, name=HIDDEN + there.name.removeprefix(layer_name(there.name)))
    return names


def names_of(source: str, spec: Architecture, stackwise: Stackwise | None = None) -> dict[str, UpstreamTensor]:
    """A source's names for the tensors of a network of one of its variants, with or without a hidden layer."""
    names = head_names(source, spec.name, stackwise)
    return (
        names
        if spec.head.hidden_features is not None
        else {n: there for n, there in names.items() if n not in ROLES[HIDDEN]}
    )


def with_stated_head(
    prepared: Tensors, in_file: Tensors, prefix: str, names: Mapping[str, UpstreamTensor], stated: StatedFacts
) -> dict[str, np.ndarray]:
    """The prepared tensors with those of the stated layers under the names of the network's own.

    Args:
        prepared: a file's tensors as the source's scheme has prepared them.
        in_file: the same tensors under the file's names.
        prefix: the start of all its names, which those of `in_file` go without.
        names: the names by canonical name, those of a hidden layer among them.
        stated: the head.
    """
    roles: dict[int, str] = {}
    for role, path in stated.head_names.items():
        for leaf, canonical in zip(("kernel", "bias"), ROLES[role], strict=True):
            found = next((in_file[name] for name in tensor_names_of(path, leaf, prefix) if name in in_file), None)
            if found is not None:
                roles[id(found)] = names[canonical].name
    if not roles:
        return dict(prepared)
    own = {names[canonical].name for pair in ROLES.values() for canonical in pair}
    renamed = {
        roles.get(id(value), name): value for name, value in prepared.items() if id(value) in roles or name not in own
    }
    for role in stated.without_bias:
        kernel, bias = (names[canonical].name for canonical in ROLES[role])
        if kernel in renamed and bias not in renamed:
            renamed[bias] = np.zeros(renamed[kernel].shape[-1:], renamed[kernel].dtype)
    return renamed


def tensor_names_of(path: tuple[str, ...], leaf: str, prefix: str = "") -> Iterable[str]:
    """All names that Keras' files give to a tensor of a layer in networks: the older ones leave networks out."""
    layers = dict.fromkeys(("/".join(path), f"{path[0]}/{path[-1]}", "/".join(path[:-1]), path[-1]))
    return [f"{layer}/{leaf}".removeprefix(prefix) for layer in layers if layer]
