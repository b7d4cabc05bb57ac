"""The weights in what a training script saved, as far as they lie in dictionaries of tensors."""

from collections.abc import Callable
from typing import Any

import numpy as np

from xception.convert.readers.checkpoint import Gathering, check_name
from xception.convert.readers.limits import MAX_GROUPS, MAX_NAME_LENGTH
from xception.errors import InputError

TensorOf = Callable[[object], np.ndarray | None]

_NOT_WEIGHTS = ("optim", "opt_state", "lr_sched")
_WIDEST_INTEGER = 2**63


def gather_state_dicts(root: object, gathering: Gathering, tensor_of: TensorOf) -> dict[str, object]:
    """Collect the tensors of the dictionaries in a dictionary, but for the optimizer's; if they have none, its own.

    Args:
        root: what the file holds.
        gathering: receives the tensors, in groups named by their dictionary's key, or in the group "".
        tensor_of: the tensor that a value stands for, or None.

    Returns:
        Metadata: plain values next to the tensors, such as {"epoch": 9}, as "values", and the keys of what was not
        read as "left_out".

    Raises:
        InputError: there is no tensor at all, or too much to look into.
    """
    if not isinstance(root, dict):
        raise InputError(f"it holds a {_kind(root)}, expected a dictionary of tensors; save the model's state dict")
    entries = {check_name(str(key)): value for key, value in root.items()}
    dictionaries = {name: value for name, value in entries.items() if isinstance(value, dict)}
    if len(dictionaries) > MAX_GROUPS:
        raise InputError(
            f"it holds more than {MAX_GROUPS} dictionaries, expected a few state dicts; save the model's state dict"
        )
    for name, values in dictionaries.items():
        if not name.startswith(_NOT_WEIGHTS):
            _gather(values, name, gathering, tensor_of)
    if not gathering.groups:
        _gather(entries, "", gathering, tensor_of)
    if not gathering.groups:
        raise InputError(
            f"it holds no tensors by name, only {str(list(entries)[:8])[:200]}; save the model's state dict"
        )
    plain = {name: value for name, value in entries.items() if _is_plain(value)}
    read = plain.keys() | gathering.groups.keys() | gathering.groups.get("", {}).keys()
    return {"values": plain, "left_out": [name for name in entries if name not in read]}


def _gather(values: dict[Any, Any], group: str, gathering: Gathering, tensor_of: TensorOf) -> None:
    for key, value in values.items():
        tensor = tensor_of(value)
        if tensor is not None and isinstance(key, str):
            gathering.add(key, tensor, group)


def _is_plain(value: Any) -> bool:
    """True if it is a value that JSON and a terminal take as it is."""
    if isinstance(value, str):
        return len(value) <= MAX_NAME_LENGTH and value.isprintable()
    return isinstance(value, float | bool) or (isinstance(value, int) and abs(value) < _WIDEST_INTEGER)


def _kind(value: object) -> str:
    return str(getattr(value, "name", type(value).__name__))[:80]
