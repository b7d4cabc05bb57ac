"""The weights in what a training script saved, as far as they lie in dictionaries of tensors."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np

from xception.convert.readers.checkpoint import Gathering, check_name
from xception.convert.readers.class_names import STATED_NAMES, stated_names
from xception.convert.readers.limits import MAX_GROUPS, MAX_NAME_LENGTH
from xception.convert.readers.pickles import Opaque, StatedArguments
from xception.errors import InputError

TensorOf = Callable[[object], np.ndarray | None]

SAVE_STATE_DICT = 'torch.save(torch.load("FILE", weights_only=False){}.state_dict(), "weights.pth")'
"""The line that saves the weights of a whole network where its code can be imported; it runs what is in the file."""

_NOT_WEIGHTS = ("optim", "opt_state", "lr_sched")
_WIDEST_INTEGER = 2**63

MAX_ROW = 16
"""Values of an argument that is a list; an input size has three."""


def gather_state_dicts(root: object, gathering: Gathering, tensor_of: TensorOf) -> dict[str, object]:
    """Collect the tensors of the dictionaries in a dictionary, but for the optimizer's; if they have none, its own.

    Lists and tuples count as dictionaries from places to values. Dictionaries are looked for as few levels deep as a
    network is found: one, none, two or three.

    Args:
        root: what the file holds.
        gathering: receives the tensors, in groups named by the keys that lead to their dictionary with slashes
            between them, or in the group "".
        tensor_of: the tensor that a value stands for, or None.

    Returns:
        Metadata: plain values next to the tensors, such as {"epoch": 9}, and the arguments of a training script, as
        "values", the names of classes, if there are any, as "class_names", and the keys of what was not read as
        "left_out".

    Raises:
        InputError: there is no tensor at all, or too much to look into.
    """
    top = _items(root, tensor_of)
    if top is None:
        raise InputError(f"it holds a {_kind(root)}, expected a dictionary of tensors; {_recipe(root, '')}")
    entries = {check_name(str(key)): value for key, value in top.items()}
    for group, values in _state_dicts(entries, tensor_of).items():
        _gather(values, group, gathering, tensor_of)
    if not gathering.groups:
        raise InputError(f"it holds no tensors by name, only {_shown(entries)}; {_advice(entries)}")
    plain = {name: value for name, value in entries.items() if _is_plain(value)}
    plain |= {name: _arguments(value) for name, value in entries.items() if isinstance(value, StatedArguments)}
    groups = {group.partition("/")[0] for group in gathering.groups}
    names = stated_names(entries)
    read = plain.keys() | groups | gathering.groups.get("", {}).keys() | {str(row["place"]) for row in names}
    metadata: dict[str, object] = {"values": plain, "left_out": [name for name in entries if name not in read]}
    return metadata | ({STATED_NAMES: names} if names else {})


def _state_dicts(entries: dict[str, Any], tensor_of: TensorOf) -> dict[str, dict[Any, Any]]:
    """The dictionaries to take, by the keys that lead to them: those of the first level with a tensor of two axes,
    which any network has and no metric needs, or else those of the first with any tensor."""
    first = _inside({"": entries}, tensor_of)
    second = _inside(first, tensor_of)
    levels = (first, {"": entries}, second, _inside(second, tensor_of))
    for axes in (2, 0):
        for level in levels:
            if any(_has_tensor(values, tensor_of, axes) for _, values in _distinct(level)):
                return level
    return {}


def _inside(level: Mapping[str, dict[Any, Any]], tensor_of: TensorOf) -> dict[str, dict[Any, Any]]:
    """The dictionaries one level deeper, without the optimizer's."""
    found: dict[str, dict[Any, Any]] = {}
    for name, values in _distinct(level):
        for key, value in values.items():
            inner = _items(value, tensor_of)
            if inner is None or str(key).startswith(_NOT_WEIGHTS):
                continue
            found[check_name(f"{name}/{key}" if name else str(key))] = inner
            if len(found) > MAX_GROUPS:
                raise InputError(
                    f"it holds more than {MAX_GROUPS} dictionaries, expected a few state dicts; "
                    "save the model's state dict"
                )
    return found


def _distinct(level: Mapping[str, dict[Any, Any]]) -> Collection[tuple[str, dict[Any, Any]]]:
    """Dictionaries by their first names, none twice; to repeat one costs a pickle nothing."""
    found: dict[int, tuple[str, dict[Any, Any]]] = {}
    for name, values in level.items():
        found.setdefault(id(values), (name, values))
    return found.values()


def _items(value: object, tensor_of: TensorOf) -> dict[Any, Any] | None:
    """The values in a dictionary by their keys, or the dictionaries in a list or tuple by their places; None for
    anything else."""
    if isinstance(value, dict):
        return value
    if not isinstance(value, list | tuple) or tensor_of(value) is not None:
        return None
    return {str(place): item for place, item in enumerate(value[:MAX_GROUPS]) if isinstance(item, dict)} or None


def _has_tensor(values: Mapping[Any, Any], tensor_of: TensorOf, min_axes: int) -> bool:
    tensors = (tensor_of(value) for key, value in values.items() if isinstance(key, str))
    return any(tensor is not None and tensor.ndim >= min_axes for tensor in tensors)


def _gather(values: dict[Any, Any], group: str, gathering: Gathering, tensor_of: TensorOf) -> None:
    for key, value in values.items():
        tensor = tensor_of(value)
        if tensor is not None and isinstance(key, str):
            gathering.add(key, tensor, group)


def _arguments(given: StatedArguments) -> dict[str, Any]:
    """The plain arguments of a training script, and those in a dictionary, such as the network's own."""
    rows = {name: value for name, value in given.values.items() if isinstance(name, str)}
    inner = {
        name: {key: part for key, part in value.items() if _is_plain(part) or part is None}
        for name, value in rows.items()
        if isinstance(value, dict)
    }
    plain = {name: value for name, value in rows.items() if value is None or _is_plain(value) or _is_row(value)}
    return plain | inner


def _is_row(value: Any) -> bool:
    """True for a few plain values in a row, such as an input size."""
    return isinstance(value, list | tuple) and len(value) <= MAX_ROW and all(map(_is_plain, value))


def _is_plain(value: Any) -> bool:
    """True if it is a value that JSON and a terminal take as it is."""
    if isinstance(value, str):
        return len(value) <= MAX_NAME_LENGTH and value.isprintable()
    return isinstance(value, float | bool) or (isinstance(value, int) and abs(value) < _WIDEST_INTEGER)


def _shown(entries: Mapping[str, object]) -> str:
    return str(list(entries)[:8])[:200]


def _advice(entries: Mapping[str, object]) -> str:
    """Advice on a dictionary that holds a whole network, or nothing of the kind."""
    key, network = next(((key, value) for key, value in entries.items() if isinstance(value, Opaque)), ("", None))
    return (
        f"{key!r} is a {_kind(network)}; {_recipe(network, f'[{key!r}]')}" if network else "save the model's state dict"
    )


def _recipe(value: object, place: str) -> str:
    """The way to weights from a value that the pickle says to be of some class."""
    if not isinstance(value, Opaque):
        return "save the model's state dict"
    return (
        "save the model's state dict; if you trust the file and its code is installed, this line does it: "
        + SAVE_STATE_DICT.format(place)
    )


def _kind(value: object) -> str:
    return str(getattr(value, "name", type(value).__name__))[:80]
