"""Untrusted files: their bytes become an array only if the declared and the actual size agree."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from xception import inputs
from xception.byte_span import damaged
from xception.convert.checksum import Algorithm, FileState, checksums, file_state
from xception.convert.readers.limits import MAX_ELEMENTS, MAX_JSON_BYTES, MAX_RANK
from xception.errors import InputError

BFLOAT16 = "bfloat16"
"""The one element type that numpy has no name for; all others are numpy's, as in "<f4"."""


@dataclass(frozen=True, eq=False)
class LoadedFile:
    """The content of a file. It is read at once: a mapped file that becomes shorter would end the process."""

    path: Path
    data: memoryview
    state: FileState | None = None

    @cached_property
    def checksums(self) -> Mapping[Algorithm, str]:
        """Checksums of the whole file, computed when they are first asked for."""
        return checksums(self.data, self.state)


def load_file(path: Path) -> LoadedFile:
    """Read a file.

    Raises:
        OSError: the file cannot be read.
        InputError: it is empty.
    """
    with inputs.open_file(path) as file:
        content = inputs.read_open(path, file, inputs.MODEL_LIMIT)
        state = file_state(file)
    if not content:
        raise InputError(f"{path} is empty; expected a checkpoint, so fetch or save it again")
    return LoadedFile(path, memoryview(content), state)


def decode_array(raw: memoryview, dtype: str, shape: Sequence[int], order: Literal["C", "F"] = "C") -> np.ndarray:
    """A read-only view of `raw` as an array; bfloat16 is widened to float32, which holds it exactly.

    Raises:
        InputError: the shape does not account for exactly these bytes.
    """
    stored = stored_type(dtype)
    if prod(check_shape(shape)) * stored.itemsize != len(raw):
        raise damaged(f"it declares an array of shape {tuple(shape)} and type {dtype} in {len(raw)} bytes")
    array: np.ndarray = np.ndarray(tuple(shape), stored, buffer=raw, order=order)
    array = widen(array) if dtype == BFLOAT16 else array.astype(stored.newbyteorder("="), copy=False)
    array.flags.writeable = False
    return array


def stored_type(dtype: str) -> np.dtype:
    """The type as which numpy sees the elements in the file."""
    return np.dtype("<u2" if dtype == BFLOAT16 else dtype)


def check_shape(shape: Sequence[int]) -> Sequence[int]:
    """The same shape, refused if no array may have it."""
    if len(shape) > MAX_RANK or min(shape, default=0) < 0 or prod(max(size, 1) for size in shape) > MAX_ELEMENTS:
        raise damaged(f"it declares an array of the impossible shape {str(tuple(shape[:MAX_RANK]))[:200]}")
    return shape


def widen(bits: np.ndarray) -> np.ndarray:
    """The float32 values of bfloat16 numbers given as 16-bit integers."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def decode_json(raw: memoryview, what: str) -> dict[str, Any]:
    """The JSON object in `raw`.

    Raises:
        InputError: it is too large, too deep, no JSON, or no object; `what` names it in the message.
    """
    if len(raw) > MAX_JSON_BYTES:
        raise InputError(
            f"{what} takes {len(raw)} bytes, expected at most {MAX_JSON_BYTES}; it is not a description of a network"
        )
    try:
        return inputs.parse_json(bytes(raw), dict[str, Any])
    except msgspec.DecodeError as error:
        raise damaged(f"{what} is not a JSON object ({error})") from error
