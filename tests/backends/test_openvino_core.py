import subprocess
import sys

from tests.support.samples import HANG_S
from xception.backends.openvino_core import openvino_core
from xception.bundle import Bundle
from xception.forms import Form

SESSIONS_COME_AND_GO = """
import gc, os, signal, sys
from xception.backends.base import open_session
from xception.bundle import open_bundle

heard = []
signal.signal(signal.SIGINT, lambda *_: heard.append("heard"))
bundle = open_bundle(sys.argv[1])
sessions = [open_session(bundle) for _ in range(4)]
while sessions:
    sessions.pop(0).close()
    gc.collect()
os.kill(os.getpid(), signal.SIGINT)
print(*heard)
"""


def test_a_process_has_one_core() -> None:
    assert openvino_core() is openvino_core()


def test_a_signal_is_heard_after_sessions_ended_in_the_order_in_which_they_came(forms: dict[Form, Bundle]) -> None:
    """A core of its own for each left a stack for signals that was freed, and Ctrl-C ended in a segmentation fault."""
    done = subprocess.run(
        [sys.executable, "-c", SESSIONS_COME_AND_GO, str(forms["openvino"].path)],
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "heard\n"), done.stderr
