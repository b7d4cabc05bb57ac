"""Files of paddle.save: a pickle of numpy arrays by name, or of such dictionaries in a dictionary."""

from pathlib import Path
from typing import Any

import numpy as np

from xception.byte_span import ByteSpan, damaged
from xception.convert.readers.checkpoint import CheckpointContents, Gathering
from xception.convert.readers.numpy_pickle import NumpyArray, numpy_calls
from xception.convert.readers.pickles import PickledCall, interpret, ordered_dict
from xception.convert.readers.state_dicts import gather_state_dicts

PADDLE_SIGNATURE = b"\x80"
"""Any pickle of protocol 2 or later begins so."""


def read_paddle(_: Path, data: memoryview) -> CheckpointContents:
    """The arrays in a pickle; bfloat16 weights come as the 16-bit integers as which Paddle stores them."""
    calls: dict[str, PickledCall] = {
        "collections.OrderedDict": ordered_dict,
        "builtins.tuple": _tuple,
        "__builtin__.tuple": _tuple,
    }
    pickled = interpret(ByteSpan(data), 0, numpy_calls() | calls)
    gathering = Gathering(len(data))
    metadata = gather_state_dicts(pickled.value, gathering, _tensor_of)
    return CheckpointContents(container="paddle_pdparams", groups=gathering.groups, metadata=metadata)


def _tensor_of(value: object) -> np.ndarray | None:
    match value:
        case NumpyArray(array=array) | (str(), NumpyArray(array=array)):
            return array
    return None


def _tuple(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """Stands in for the constructor by which nested tensors, pairs of static name and array, are made."""
    match arguments:
        case (tuple(values),):
            return values
    raise damaged("its pickle makes a tuple of something else than a tuple")
