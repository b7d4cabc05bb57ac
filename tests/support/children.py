"""Functions run in a child process, which they may crash, and the processes that it starts."""

import os
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

from xception.errors import EnvironmentFault

FULL = EnvironmentFault.exit_code
"""Exit status of a job that found no room, as on the command line."""


def begin(job: Callable[[], object]) -> int:
    """Run a job in a process of its own, which has imported everything already; returns its id."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        job()
        status = 0
    except EnvironmentFault as error:
        status = FULL
        sys.stderr.write(f"{error}\n")
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def ended(child: int) -> int:
    """The status with which a process ends: 0, `FULL`, 1 where its job fails, or minus a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def in_child(job: Callable[[], object]) -> int:
    """The status with which a process ends that does the job, see `ended`."""
    return ended(begin(job))


def started_by(pid: int) -> Iterator[int]:
    """The processes that a process started, and those that they did."""
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = list(map(int, task.read_text().split()))
        except OSError:
            continue
        for child in children:
            yield child
            yield from started_by(child)


def command_of(pid: int) -> str:
    """The command line of a process; empty for one that has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def processor_s(pid: int) -> float:
    """Processor time that a process has used until now; 0 of one that has ended."""
    try:
        # The name in brackets may hold anything.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
