"""Nobody is told of the use of this package: no server is looked up, and no identifier is left with the user."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.attacks import own_network as own_network_script
from tests.support.samples import HANG_S, encoded, picture
from xception.bundle import Bundle

RECORDER = """
import sys

def record(event, arguments):
    if event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.connect", "socket.sendto"):
        sys.__stderr__.write(f"ASKED {event} {arguments[-1] if event == 'socket.connect' else arguments[0]}\\n")

sys.addaudithook(record)
"""

VERBS = """
from xception.cli.app import run

for arguments in (
    ["predict", "{onnx}", "{image}"],
    ["predict", "{onnx}", "{image}", "--backend", "openvino"],
    ["predict", "{litert}", "{image}"],
    ["export", "{weights}", "--to", "openvino", "--out", "{out}"],
):
    assert run(arguments) == 0, arguments
"""

CONTROL = """
import os
import socket
from pathlib import Path

folder = Path(os.environ["XDG_CACHE_HOME"], "maker")
folder.mkdir(parents=True)
(folder / "deviceid").touch()
socket.getaddrinfo("localhost", 80)
"""


SILENCERS = ("ORT_DISABLE_TELEMETRY", "CI")
"""Variables with which ONNX Runtime keeps quiet by itself."""


NAMESPACES = ("unshare", "--map-root-user", "--net", "--mount")
HAS_NAMESPACES = bool(shutil.which("unshare")) and not subprocess.run([*NAMESPACES, "true"], check=False).returncode
"""Some containers forbid networks of one's own; then only what Python itself asks is seen."""


def own_network(names: Path) -> tuple[str, ...]:
    """The start of a command that runs in a network of its own, where the names that are asked for are recorded."""
    return (*NAMESPACES, sys.executable, own_network_script.__file__, str(names))


def traces(script: str, folder: Path) -> tuple[list[str], list[str]]:
    """The look-ups and connections of a program, and the files that it leaves in its user's folders."""
    home, names = folder / "home", folder / "names"
    home.mkdir()
    names.touch()
    environment = {name: value for name, value in os.environ.items() if name not in SILENCERS}
    environment |= {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}
    done = subprocess.run(
        [*(own_network(names) if HAS_NAMESPACES else ()), sys.executable, "-c", RECORDER + script],
        env=environment,
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    asked = [line for line in done.stderr.splitlines() if line.startswith("ASKED")]
    asked += [f"ASKED the resolver {name}" for name in names.read_text().splitlines()]
    return asked, [str(path.relative_to(home)) for path in home.rglob("*") if path.is_file()]


@pytest.fixture
def places(forms: dict[str, Bundle], tmp_path: Path) -> dict[str, str]:
    (tmp_path / "a.png").write_bytes(encoded(picture()))
    bundles = {form: str(bundle.path) for form, bundle in forms.items()}
    return {**bundles, "image": str(tmp_path / "a.png"), "out": str(tmp_path / "out")}


def test_no_runtime_tells_anybody_of_its_use(places: dict[str, str], tmp_path: Path) -> None:
    asked, left = traces(VERBS.format(**places), tmp_path)
    assert asked == []
    assert [path for path in left if not path.startswith("cache/xception/")] == []


def test_a_package_that_does_would_be_noticed(tmp_path: Path) -> None:
    asked, left = traces(CONTROL, tmp_path)
    assert asked
    assert left == ["cache/maker/deviceid"]


NATIVE = """
import ctypes

ctypes.CDLL(None).getaddrinfo(b"native.example", b"80", None, ctypes.byref(ctypes.c_void_p()))
"""


def test_what_asks_past_python_is_seen_where_a_network_of_ones_own_is_allowed(tmp_path: Path) -> None:
    asked, _ = traces(NATIVE, tmp_path)
    assert ("ASKED the resolver native.example" in asked) is HAS_NAMESPACES
