"""A server of the package, run in its own environment, for clients that live in this one.

PACKAGE_PYTHON is the interpreter of the package's environment.
"""

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).parents[2]
PYTHON = os.environ.get("PACKAGE_PYTHON", str(ROOT / ".venv/bin/python"))
ENVIRONMENT = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
HAPROXY = shutil.which("haproxy", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
UNSHARE = shutil.which("unshare")
HAS_MOUNTS = UNSHARE and not subprocess.run([UNSHARE, "-rm", "true"], capture_output=True, check=False).returncode
NEEDS = {
    "check_mounted.py": (HAS_MOUNTS, "unshare, or the right to use it,"),
    "check_haproxy.py": (HAPROXY, "haproxy"),
    "check_accessibility.py": (CHROMIUM, "chromium"),
    "check_layout.py": (CHROMIUM, "chromium"),
    "check_page.py": (CHROMIUM, "chromium"),
    "check_slow.py": (shutil.which("slowhttptest"), "slowhttptest"),
}
"""Programs of the system that some checks need; where one is missing they are left out, and named."""

collect_ignore = [name for name, (found, _) in NEEDS.items() if not found]


def pytest_report_header() -> list[str]:
    return [f"left out: {name}, since {NEEDS[name][1]} is not installed" for name in collect_ignore]


def package(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a command in the package's environment."""
    return subprocess.run([PYTHON, *arguments], env=ENVIRONMENT, capture_output=True, text=True, check=True)


@dataclass(frozen=True)
class Served:
    """A server and what it serves."""

    host: str
    grpc_host: str
    bundle: Path
    photos: tuple[Path, ...]
    logits: np.ndarray
    """(8, 10), as `xception predict` gives them."""
    labels: tuple[str, ...]
    pixels: np.ndarray
    """(8, 1, 32, 32), the network's input."""
    process: "subprocess.Popen[str]"

    @property
    def url(self) -> str:
        return f"http://{self.host}"


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    package("-m", "tests.clients.make_bundle", str(folder))
    rows = folder / "rows.jsonl"
    package("-m", "xception", "predict", str(folder / "digits"), str(folder / "photos"), "--out", str(rows), "--logits")
    answers = [json.loads(line) for line in rows.read_text().splitlines()]
    port, grpc_port = free_port(), free_port()
    command = [
        PYTHON,
        "-m",
        "xception",
        "serve",
        f"digits={folder / 'digits'}",
        f"spotter={folder / 'spotter'}",
        f"several={folder / 'several'}",
        "--port",
        str(port),
        "--grpc-port",
        str(grpc_port),
    ]
    command += ["--header-timeout-s", "2", "--body-timeout-s", "3"]
    process = subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert process.stderr
    assert any(line.startswith("ready:") for line in process.stderr)
    while not is_open(port):
        assert process.poll() is None
    log_read(process)
    photos = tuple(sorted((folder / "photos").iterdir()))
    yield Served(
        host=f"127.0.0.1:{port}",
        grpc_host=f"127.0.0.1:{grpc_port}",
        bundle=folder / "digits",
        photos=photos,
        logits=np.array([answer["logits"] for answer in answers], np.float32),
        labels=tuple(answer["labels"][0] for answer in answers),
        pixels=np.stack([_pixels(path) for path in photos]),
        process=process,
    )
    process.terminate()
    assert process.wait(60) == 0


def _pixels(path: Path) -> np.ndarray:
    image = Image.open(path).convert("L").resize((32, 32), Image.Resampling.BILINEAR)
    return ((np.asarray(image, np.float32) / 255 - 0.5) / 0.5)[None]


def free_port() -> int:
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return trial.getsockname()[1]


def is_open(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def log_read(process: "subprocess.Popen[str]") -> None:
    """Read the log, so that it fills no pipe."""
    import threading

    threading.Thread(target=lambda: list(process.stderr or ()), daemon=True).start()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    # Not longer than a module: no other check could run an event loop while Playwright's runs.
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()
