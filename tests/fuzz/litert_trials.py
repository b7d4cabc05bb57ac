"""LiteRT's trials for a fuzzer: forks of one process that has imported LiteRT, in place of a Python for each file.

Starting Python and importing LiteRT take a hundred times as long as a trial of a narrow network.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path

from xception.upstream import litert_trial

MAX_FORK_S = 60


@contextmanager
def forked_trials() -> Iterator[Callable[[Path], int | None]]:
    """A function with the signature and the meaning of `xception.backends.trial.exit_status`."""
    command = [sys.executable, __file__]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        if server.stdin is None or server.stdout is None:
            raise RuntimeError("the trials have no pipes")
        asked, answered = server.stdin, server.stdout

        def exit_status(file: Path) -> int | None:
            asked.write(f"{file}\n")
            asked.flush()
            status = int(answered.readline())
            return None if status == -signal.SIGALRM else status

        yield exit_status
        asked.close()


def serve() -> None:
    """Answer each path on the standard input with the exit status of a fork that runs its file."""
    import_module("ai_edge_litert.interpreter")
    answers = os.fdopen(os.dup(1), "w")
    # What LiteRT writes must not be taken for an answer.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(1, 2)
    for line in sys.stdin:
        child = os.fork()
        if not child:
            signal.alarm(MAX_FORK_S)
            with suppress(Exception):
                litert_trial.run_once(line.rstrip("\n"))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        answers.write(f"{os.waitstatus_to_exitcode(status)}\n")
        answers.flush()


if __name__ == "__main__":
    serve()
