"""Named tensors: reading and writing safetensors, and comparing what came with what is needed."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from xception.arch.compute import Shape
from xception.errors import InputError


def read_weights(path: Path) -> dict[str, np.ndarray]:
    """All tensors of a safetensors file.

    Raises:
        InputError: the file is missing or not whole.
    """
    try:
        return load_file(path)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; expected a safetensors file") from None
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{path} is not a whole safetensors file ({error}); fetch or make it again") from error


def weights_bytes(tensors: Mapping[str, np.ndarray]) -> bytes:
    """The content of a safetensors file; equal tensors give equal bytes."""
    return save({name: np.ascontiguousarray(tensors[name]) for name in sorted(tensors)})


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


def _few(items: list[str], most: int = 3) -> str:
    if not items:
        return "none"
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return f"{', '.join(items[:most])}{more}"
