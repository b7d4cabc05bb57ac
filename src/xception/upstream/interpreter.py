"""Scripts that run in another interpreter, with packages that this one's environment cannot hold."""

import os
import subprocess
from collections.abc import Sequence

from xception.errors import EnvironmentFault

MAX_COMPLAINT_CHARACTERS = 300
"""Characters of a script's complaint that are passed on."""


def run_script(command: Sequence[str], complaint: str) -> None:
    """Run an interpreter on a script and its arguments.

    Args:
        command: the interpreter, the script, and its arguments.
        complaint: what to say when it fails, before its own last words.

    Raises:
        EnvironmentFault: the interpreter cannot be run, or the script fails.
    """
    # Another interpreter has packages of its own; ours are not to get in their way.
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)  # noqa: S603
    except OSError as error:
        raise EnvironmentFault(
            f"{command[0]} cannot be run ({error.strerror}); expected the Python interpreter of an environment"
        ) from error
    if done.returncode:
        last_words = done.stderr.strip().rpartition("\n")[2][:MAX_COMPLAINT_CHARACTERS]
        raise EnvironmentFault(
            f"{complaint}: {last_words}; check that {command[0]} has it and that the file loads there"
        )
