"""Work in a process of its own, which it may end."""

import os
from collections.abc import Callable


def in_child(job: Callable[[], object]) -> int:
    """The status with which a process ends that does the job: 0, or 1 where the job fails, or minus a signal."""
    child = os.fork()
    if not child:
        status = 1
        try:
            job()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
