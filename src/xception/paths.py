"""Paths as users write them: strings or path objects."""

from pathlib import Path

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
