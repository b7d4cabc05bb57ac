"""Parts of a run that a program brings along: the loss, the optimiser, the schedule, an augmentation, callbacks.

A run knows each by its name and the hash of its source and values, so that its lineage tells them, and a resumed run
notices that one has changed.
"""

import hashlib
import inspect
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor
from torch.optim import Optimizer

from xception.train.callbacks import Callback
from xception.train.losses import Loss
from xception.train.optimizers import Groups
from xception.train.schedule import Moment

HASH_DIGITS = 16
MAX_VALUE_DEPTH = 4
"""Levels of values within values that are looked at."""

PYTHON, PACKAGE = Path(inspect.__file__).parent, Path(__file__).parents[1]
"""Folders of Python's own code and of this package's."""

PLAIN_TYPES = (int, float, complex, str, bytes, bool, type(None))


@dataclass(frozen=True, kw_only=True)
class OwnParts:
    """The parts that take the place of a recipe's, or are added to it."""

    loss: Loss | None = None
    """The mean loss of logits (N, K) for class indices (N,) or, with mixing, probabilities (N, K)."""
    optimizer: Callable[[Groups], Optimizer] | None = None
    """Makes the optimiser of torch's parameter groups, such as `torch.optim.NAdam`; the run sets the rates."""
    schedule: Callable[[Moment], float] | None = None
    """The rate of a step after the warm-up."""
    augment: Callable[[Image.Image, np.random.Generator], Image.Image] | None = None
    """Changes a training image before the recipe's augmentation, by the given random numbers only."""
    callbacks: tuple[Callback, ...] = ()

    def descriptions(self) -> dict[str, str]:
        """Name and hash of each part that decides the weights, by what it is for."""
        single = {name: getattr(self, name) for name in ("loss", "optimizer", "schedule", "augment")}
        found = {name: description(part) for name, part in single.items() if part is not None}
        acting = [description(callback) for callback in self.callbacks if not callback.only_watches]
        return found | ({"callbacks": ", ".join(acting)} if acting else {})


NO_PARTS = OwnParts()


def digest_with(recipe_digest: str, descriptions: Mapping[str, str]) -> str:
    """The digest of a recipe together with own parts; the recipe's itself where there are none."""
    if not descriptions:
        return recipe_digest
    return hashlib.sha256(f"{recipe_digest}\n{json.dumps(dict(descriptions), sort_keys=True)}".encode()).hexdigest()


def description(part: object) -> str:
    """A part's name, and behind `@` the hash of its source and values; an installed package's part has no hash."""
    name = _name(part)
    facts = list(_facts(part, set(), 0))
    if not facts:
        return name
    return f"{name}@{hashlib.sha256(json.dumps([name, facts]).encode()).hexdigest()[:HASH_DIGITS]}"


def _name(part: object) -> str:
    target = part.func if isinstance(part, partial) else part
    named = target if isinstance(target, type | FunctionType) or inspect.isroutine(target) else type(target)
    return f"{getattr(named, '__module__', '?')}.{getattr(named, '__qualname__', type(named).__name__)}"


def _facts(part: Any, seen: set[int], depth: int) -> Iterator[str]:
    """Sources and values that decide what a part does, each object once; `depth` counts values within values."""
    if id(part) in seen or depth > MAX_VALUE_DEPTH:
        return
    seen.add(id(part))
    if isinstance(part, PLAIN_TYPES):
        yield repr(part)
    elif isinstance(part, Mapping):
        for key, value in part.items():
            yield repr(key)
            yield from _facts(value, seen, depth + 1)
    elif isinstance(part, list | tuple | set | frozenset):
        yield from _facts_of_members(part, seen, depth)
    elif isinstance(part, np.ndarray | Tensor):
        values = np.asarray(part.detach().cpu() if isinstance(part, Tensor) else part)
        yield f"{values.dtype} {values.shape} {hashlib.sha256(values.tobytes()).hexdigest()}"
    elif isinstance(part, partial):
        yield from _facts((part.func, part.args, part.keywords), seen, depth)
    elif inspect.ismethod(part):
        yield from _facts((part.__func__, part.__self__), seen, depth)
    elif isinstance(part, FunctionType | type):
        yield from _facts_of_code(part, seen)
    elif not isinstance(part, ModuleType) and not inspect.isbuiltin(part):
        yield from _facts(type(part), seen, depth)
        yield from _facts(_state(part), seen, depth)


def _facts_of_members(part: Collection[Any], seen: set[int], depth: int) -> Iterator[str]:
    """The facts on every member, those that are the same object too; a set has no order."""
    members = [[*_facts(value, seen - {id(value)}, depth + 1)] for value in part]
    yield f"{len(part)} values"
    for member in sorted(members) if isinstance(part, Set) else members:
        yield from member


def _facts_of_code(target: FunctionType | type, seen: set[int]) -> Iterator[str]:
    """The source of a function or a class, and the facts on all that it uses."""
    if _is_installed(target):
        return
    yield _source(target)
    for name, value in _used(target):
        yield name
        yield from _facts(value, seen, 0)


def _state(part: Any) -> object:
    """The values of an object: its attributes, or the text that it shows of itself where it has none."""
    own = () if _is_installed(type(part)) else type(part).__mro__
    slots = [name for kind in own for name in vars(kind).get("__slots__", ()) if hasattr(part, name)]
    attributes = getattr(part, "__dict__", {}) | {name: getattr(part, name) for name in slots}
    text = repr(part)
    return attributes or ("" if " at 0x" in text else text)


def _is_installed(target: type | FunctionType | ModuleType) -> bool:
    """True for the code of an installed package, of this one or of Python, whose versions the run notes anyway."""
    try:
        path = Path(inspect.getfile(target))
    except (TypeError, OSError):
        return isinstance(target, type | ModuleType) and target.__module__ != "__main__"
    return "site-packages" in path.parts or any(map(path.is_relative_to, (PYTHON, PACKAGE)))


def _source(target: type | FunctionType) -> str:
    try:
        return inspect.getsource(target)
    except (OSError, TypeError):  # typed into an interpreter
        return "".join(f"{code.co_code.hex()}{code.co_names}{_constants(code)}" for code in _codes(target))


def _constants(code: CodeType) -> list[object]:
    return [constant for constant in code.co_consts if isinstance(constant, PLAIN_TYPES)]


def _codes(target: type | FunctionType) -> Iterator[CodeType]:
    for function in _functions(target):
        yield from _nested(function.__code__)


def _functions(target: type | FunctionType) -> Iterator[FunctionType]:
    """A function itself, or all methods of a class, whatever they are decorated as."""
    members = [target] if isinstance(target, FunctionType) else vars(target).values()
    for member in members:
        for name in ("__func__", "fget", "fset"):
            member = getattr(member, name, None) or member
        if isinstance(member, FunctionType):
            yield member


def _nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _nested(constant)


def _used(target: type | FunctionType) -> Iterator[tuple[str, Any]]:
    """The variables of enclosing functions, and the names of its module, that a function or class uses."""
    for function in _functions(target):
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            yield name, cell.cell_contents
        names = sorted({name for code in _nested(function.__code__) for name in code.co_names})
        for name in names:
            if name in function.__globals__:
                yield from _of_modules(name, function.__globals__[name], names)
    if isinstance(target, type):
        yield from ((base.__qualname__, base) for base in target.__bases__ if base is not object)


def _of_modules(name: str, value: Any, names: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """A named value; in place of a module that is not installed, all that is named of it."""
    if not isinstance(value, ModuleType) or _is_installed(value):
        yield name, value
        return
    for member in names:
        if member != name and hasattr(value, member):
            yield from _of_modules(member, getattr(value, member), [other for other in names if other != name])
