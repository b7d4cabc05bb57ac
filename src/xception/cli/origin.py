"""The command that is running, as the provenance of its result names it."""

from contextvars import ContextVar
from typing import TYPE_CHECKING

import msgspec

from xception.screen import without_credentials

if TYPE_CHECKING:
    from xception.tasks.provenance import CommandRun, ResultProvenance

COMMAND: ContextVar[tuple[str, ...]] = ContextVar("COMMAND", default=())
"""The words of the command, without the program's name."""


def made_here(provenance: "ResultProvenance") -> "ResultProvenance":
    """The provenance with the date, the folder and the command of this run, which shows no credentials."""
    return msgspec.structs.replace(provenance, run=this_run())


def this_run() -> "CommandRun":
    """The command that is running, without credentials."""
    from xception.tasks.provenance import run_now

    return run_now(("xception", *map(without_credentials, COMMAND.get())))
