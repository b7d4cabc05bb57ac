"""Parts of a run that a program brings along: the loss, the optimiser, the schedule, an augmentation, callbacks.

A run knows each by its name and the hash of its source and values, so that its lineage tells them, and a resumed run
notices that one has changed.
"""

import hashlib
import inspect
import json
from collections.abc import Callable, Iterator, Mapping
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
from xception.train.optim import Groups
from xception.train.schedule import Moment

HASH_DIGITS = 16
MAX_VALUE_DEPTH = 4
"""Levels of values within values that are looked at."""

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
    """Sources and values that decide what a part does, each object once."""
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
        yield f"{len(part)} values"
        for value in part:
            yield from _facts(value, seen - {id(value)}, depth + 1)
    elif isinstance(part, np.ndarray | Tensor):
        values = np.asarray(part.detach().cpu() if isinstance(part, Tensor) else part)
        yield f"{values.dtype} {values.shape} {hashlib.sha256(values.tobytes()).hexdigest()}"
    elif isinstance(part, partial):
        yield from _facts((part.func, part.args, part.keywords), seen, depth)
    else:
        yield from _facts_of_code(part, seen, depth)


def _facts_of_code(part: Any, seen: set[int], depth: int) -> Iterator[str]:
    """The facts on a function, a class, or an object of an own class."""
    target = part.__func__ if inspect.ismethod(part) else part
    if isinstance(target, FunctionType | type):
        if _is_installed(target):
            return
        yield _source(target)
        for name, value in _used(target):
            yield name
            yield from _facts(value, seen, depth + 1)
    elif not isinstance(target, ModuleType) and not inspect.isbuiltin(target):
        yield from _facts(type(target), seen, depth)
        yield from _facts(getattr(target, "__dict__", {}), seen, depth)


def _is_installed(target: type | FunctionType) -> bool:
    """True for the code of an installed package or of Python itself, whose versions the run notes anyway."""
    try:
        path = Path(inspect.getfile(target))
    except (TypeError, OSError):
        return isinstance(target, type) and target.__module__ != "__main__"
    return "site-packages" in path.parts or path.is_relative_to(Path(inspect.__file__).parent)


def _source(target: type | FunctionType) -> str:
    try:
        return inspect.getsource(target)
    except (OSError, TypeError):  # typed into an interpreter
        return "".join(f"{code.co_code.hex()}{code.co_names}{_constants(code)}" for code in _codes(target))


def _constants(code: CodeType) -> list[object]:
    return [constant for constant in code.co_consts if isinstance(constant, PLAIN_TYPES)]


def _codes(target: type | FunctionType) -> Iterator[CodeType]:
    functions = [target] if isinstance(target, FunctionType) else vars(target).values()
    for function in functions:
        code = getattr(function, "__code__", None)
        if isinstance(code, CodeType):
            yield from _nested(code)


def _nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _nested(constant)


def _used(target: type | FunctionType) -> Iterator[tuple[str, Any]]:
    """The variables of enclosing functions, and the names of its module, that a function or class uses."""
    functions = [target] if isinstance(target, FunctionType) else list(vars(target).values())
    for function in functions:
        if isinstance(function, FunctionType):
            for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
                yield name, cell.cell_contents
            names = sorted({name for code in _nested(function.__code__) for name in code.co_names})
            yield from ((name, function.__globals__[name]) for name in names if name in function.__globals__)
    if isinstance(target, type):
        yield from ((base.__qualname__, base) for base in target.__bases__ if base is not object)
