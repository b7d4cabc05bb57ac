"""Optional dependencies: imported where they are used, announced here when they are missing."""

import importlib
from functools import cache
from types import ModuleType

from xception.errors import MissingExtra


def require(module: str, extra: str) -> ModuleType:
    """Import `module`, which the optional dependency group `extra` installs.

    Raises:
        MissingExtra: the package is not installed; the message holds the command that installs it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        # Only the absence of the package itself is the user's to mend; a broken import inside it is not.
        if error.name is not None and module.split(".")[0] == error.name.split(".")[0]:
            raise MissingExtra(module.split(".")[0], extra) from error
        raise


@cache
def optional(module: str) -> ModuleType | None:
    """Import `module`, which only makes faster what is done without it too, or None where it is not installed."""
    try:
        return require(module, "fast")
    except MissingExtra:
        return None
