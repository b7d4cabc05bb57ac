"""OpenVINO's core, of which a process has one."""

from functools import cache
from threading import Lock
from typing import Any

from xception.extras import require

_making = Lock()


def openvino_core() -> Any:
    """The core that reads and compiles all models of this process.

    A core that compiles gives its thread a stack for signals, and frees it when it goes. Where several go in another
    order than the reverse of the one in which they came, the thread is left with a stack that was freed, and the next
    signal ends the process: Ctrl-C, or the end of a child. So there is one, which stays.

    Raises:
        MissingExtra: openvino is not installed.
    """
    with _making:
        return _core()


@cache
def _core() -> Any:
    return require("openvino", "openvino").Core()
