"""The sentence and the exit code of everything that can end a command early."""

import errno
from collections.abc import Sequence
from typing import NamedTuple

from cyclopts import CycloptsError

from xception.cli.suggestions import explained
from xception.errors import EnvironmentFault, UsageError, XceptionError
from xception.extras import broken_package, missing_extra

EXIT_FAULT = 4
"""Exit code of an unforeseen error: a bug in this package, or in one that it uses."""

EXIT_INTERRUPTED = 130

UNWRITABLE = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EIO, errno.EBADF)
"""Error numbers of a stream that cannot be written."""

MAX_MESSAGE_CHARACTERS = 300
"""Characters that are shown of the message of an unforeseen error."""


class Ending(NamedTuple):
    """The way a command ends: what is said on stderr, and its exit code."""

    sentence: str
    code: int


def ending_of(error: BaseException, arguments: Sequence[str], verbs: Sequence[str] = ()) -> Ending:
    """The ending that an error makes; `arguments` are the command's own, `verbs` all that there are."""
    if isinstance(error, XceptionError):
        return Ending(str(error), error.exit_code)
    if isinstance(error, CycloptsError):
        return Ending(explained(error, arguments, verbs), UsageError.exit_code)
    if isinstance(error, KeyboardInterrupt):
        return Ending(str(error) or "interrupted; nothing half-written was left behind", EXIT_INTERRUPTED)
    if isinstance(error, ModuleNotFoundError) and (missing := missing_extra(error)):
        return Ending(str(missing), missing.exit_code)
    if isinstance(error, ImportError | OSError) and (broken := broken_package(error)):
        return Ending(str(broken), broken.exit_code)
    if isinstance(error, MemoryError):
        return Ending(
            "this machine has not enough memory for that; use smaller batches, fewer workers or a smaller model",
            EnvironmentFault.exit_code,
        )
    return _of_system(error) if isinstance(error, OSError) else _unforeseen(error, arguments)


def _of_system(error: OSError) -> Ending:
    """The ending of an error of the system: a path that cannot be used, or a stream that cannot be written."""
    if error.filename is not None:
        sentence = f"cannot use {error.filename}: {error.strerror}; check the path and its permissions"
    elif error.errno in UNWRITABLE:
        sentence = f"cannot write the output: {error.strerror}; send it where there is room"
    else:
        sentence = str(error)
    return Ending(sentence, EnvironmentFault.exit_code)


def _unforeseen(error: BaseException, arguments: Sequence[str]) -> Ending:
    said = " ".join(str(error).split())[:MAX_MESSAGE_CHARACTERS]
    what = f"{type(error).__name__}: {said}" if said else type(error).__name__
    return Ending(
        f"an unforeseen error ended `xception {' '.join(arguments)}`: {what}; this is a fault of xception, or of "
        "a package under it, or of a file that none of them expected: pass --debug for the whole trace, and report it",
        EXIT_FAULT,
    )
