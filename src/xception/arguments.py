"""Checks of arguments from users, with messages that say what was expected."""

from pathlib import Path
from typing import Any

from xception.errors import UsageError


def as_path(value: str | Path, what: str) -> Path:
    """A path that was given as a string or a path object.

    Args:
        value: the path.
        what: the thing that it names, for the error's sentence.

    Raises:
        UsageError: it is neither.
    """
    if isinstance(value, str | Path):
        return Path(value)
    raise UsageError(f"{what} is named by a path, as str or pathlib.Path; got {type(value).__name__}")


def require_type(value: object, expected: Any, what: str, advice: str) -> None:
    """Refuse an argument of another type than the expected one, before it fails somewhere deep inside.

    Args:
        value: the argument.
        expected: a type, or a protocol that can be checked at run time.
        what: the argument's name in the error's sentence.
        advice: the way to get one.

    Raises:
        UsageError: it is something else.
    """
    if not isinstance(value, expected):
        raise UsageError(f"{what} has to be of type {expected.__name__}, from {advice}; got {type(value).__name__}")
