"""Named tensors: reading and writing safetensors, and comparing what came with what is needed."""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from xception import inputs
from xception.arch.compute import CLASSIFIER_BIAS, CLASSIFIER_WEIGHT, Shape, tensors
from xception.arch.spec import Architecture
from xception.errors import InputError


def with_new_classifier(values: Mapping[str, np.ndarray], architecture: Architecture) -> dict[str, np.ndarray]:
    """A network's tensors with a classifier of zeros in place of its own, or without any where there are no classes.

    Args:
        values: the tensors of the same network with whatever head, by canonical name.
        architecture: the network with the new number of classes.
    """
    shapes = tensors(architecture)
    head = [name for name in (CLASSIFIER_WEIGHT, CLASSIFIER_BIAS) if name in shapes]
    kept = {name: value for name, value in values.items() if name in shapes and name not in head}
    return kept | {name: np.zeros(shapes[name], np.float32) for name in head}


def read_weights(path: Path) -> dict[str, np.ndarray]:
    """All tensors of a safetensors file.

    Raises:
        InputError: the file is missing or not whole.
    """
    try:
        return parse_weights(inputs.read_bytes(path, inputs.MODEL_LIMIT), path)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; expected a safetensors file") from None
    except OSError as error:
        raise _not_whole(path, error) from error


def parse_weights(content: bytes, place: Path) -> dict[str, np.ndarray]:
    """All tensors of a safetensors file's content; `place` names it in messages.

    Raises:
        InputError: it is not whole, or has two tensors of one name.
    """
    try:
        check_names(content[8 : 8 + min(int.from_bytes(content[:8], "little"), len(content))])
        return load(content)
    except (SafetensorError, ValueError) as error:
        raise _not_whole(place, error) from error


def check_names(header: bytes | memoryview) -> None:
    """Refuse the JSON header of a safetensors file that has a name twice, of which readers may take either.

    Raises:
        ValueError: names it; also if the header is no JSON.
    """

    def once(pairs: list[tuple[str, object]]) -> dict[str, object]:
        found = dict(pairs)
        if len(found) < len(pairs):
            ((twice, _),) = Counter(name for name, _ in pairs).most_common(1)
            raise ValueError(f"it holds the name {twice!r} twice")
        return found

    try:
        json.loads(bytes(header), object_pairs_hook=once)
    except RecursionError:
        raise ValueError("its header is nested too deep") from None


def _not_whole(place: Path, error: Exception) -> InputError:
    return InputError(f"{place} is not a whole safetensors file ({error}); fetch or make it again")


def weights_bytes(values: Mapping[str, np.ndarray]) -> bytes:
    """The content of a safetensors file; equal tensors give equal bytes."""
    return save({name: np.ascontiguousarray(values[name]) for name in sorted(values)})


def check_tensors(values: Mapping[str, np.ndarray], expected: Mapping[str, Shape]) -> None:
    """Refuse tensors that are not exactly those of a network.

    Raises:
        InputError: lists what is missing, what is superfluous and what has another shape.
    """
    missing = sorted(expected.keys() - values.keys())
    superfluous = sorted(values.keys() - expected.keys())
    misshapen = [
        f"{name} is {values[name].shape}, expected {expected[name]}"
        for name in sorted(expected.keys() & values.keys())
        if values[name].shape != expected[name]
    ]
    if missing or superfluous or misshapen:
        raise InputError(
            "the tensors do not fit the network: "
            f"missing {_few(missing)}; not part of it {_few(superfluous)}; of another shape {_few(misshapen)}"
        )


def check_finite(values: Mapping[str, np.ndarray]) -> None:
    """Refuse weights of which some are no numbers, as those of a training that diverged.

    Raises:
        InputError: names the first tensor.
    """
    for name, value in values.items():
        if not np.isfinite(value).all():
            raise InputError(f"{name} holds values that are no finite numbers; the model is broken: make it again")


def _few(items: list[str], most: int = 3) -> str:
    if not items:
        return "none"
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return f"{', '.join(items[:most])}{more}"
