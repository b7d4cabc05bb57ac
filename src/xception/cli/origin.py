"""The command that is running, as the provenance of its result names it."""

from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from xception.screen import without_credentials

if TYPE_CHECKING:
    from xception.tasks.provenance import ResultProvenance

COMMAND: ContextVar[tuple[str, ...]] = ContextVar("COMMAND", default=())
"""The words of the command, without the program's name."""


def made_here(provenance: "ResultProvenance") -> "ResultProvenance":
    """The provenance with the date, the folder and the command of this run, which shows no credentials."""
    from xception.tasks.provenance import CommandRun

    run = CommandRun(
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        folder=str(Path.cwd()),
        command=("xception", *map(without_credentials, COMMAND.get())),
    )
    return msgspec.structs.replace(provenance, run=run)
