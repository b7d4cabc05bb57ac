"""Every kind of page of results, made by the commands that readers type: for the gallery, and for checks."""

import os
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import NamedTuple

from pages.markdown import ROOT

PYTHON = os.environ.get("PACKAGE_PYTHON", sys.executable)
"""The interpreter of the package's environment."""

WAIT_S = 60.0
"""Time that a server may take to begin."""

DRAW_DIGIT = """
import sys
from PIL import Image
from xception.data.digits import digits
item = list(digits("test"))[3]
item.load().resize((256, 256), Image.Resampling.LANCZOS).save(sys.argv[1])
"""


class ResultPage(NamedTuple):
    """A kind of page: its name, the command that writes it, where it lies then, and what it is for."""

    name: str
    command: str
    file: str
    purpose: str


RESULT_PAGES = (
    ResultPage("demo", "xception demo", "demo/report.html", "Demonstration: one small network, from training to int8"),
    ResultPage(
        "training",
        "xception train digits --set epochs=6 --out runs/digits",
        "runs/digits/report.html",
        "Training run: curves, images as the network saw them, figures per class, and mistakes",
    ),
    ResultPage(
        "evaluation",
        "xception evaluate demo/bundles/onnx digits:test --html evaluation.html",
        "evaluation.html",
        "Evaluation: accuracy with its interval, calibration, confusions and mistakes",
    ),
    ResultPage(
        "comparison",
        "xception compare demo/bundles/onnx demo/bundles/onnx-int8 digits:test --html comparison.html",
        "comparison.html",
        "Comparison: two models on the same images, with a test and a verdict",
    ),
    ResultPage(
        "int8",
        "xception quantize demo/bundles/onnx --calibration digits --out digits-int8 --sensitivity --html int8.html",
        "int8.html",
        "Quantization: accuracy and speed of int8, and its error layer by layer",
    ),
    ResultPage(
        "benchmark",
        "xception benchmark demo/bundles/onnx digits:test --batch 1,8 --html benchmark.html",
        "benchmark.html",
        "Benchmark: speed of each stage and of the whole run, and the bound",
    ),
    ResultPage(
        "data",
        "xception data check digits:train --not-in digits:test --html data.html",
        "data.html",
        "Check of data: broken files, copies, leaks and doubtful labels",
    ),
)
"""In an order in which each command finds what it needs."""

SERVED_BUNDLE = "demo/bundles/onnx"
SERVE_COMMAND = f"xception serve {SERVED_BUNDLE} --port 8000"


def write_result_pages(folder: Path) -> Iterator[tuple[ResultPage, Path]]:
    """Run the commands in a folder, one after the other, but those whose page is there; yields each page's file."""
    for page in RESULT_PAGES:
        if (folder / page.file).exists():
            yield page, folder / page.file
            continue
        ended = _run(["-m", "xception", *shlex.split(page.command)[1:]], folder)
        # A check that failed writes its page, too.
        if ended.returncode not in (0, 1):
            raise RuntimeError(f"{page.command} ended with {ended.returncode}: {ended.stderr}")
        yield page, folder / page.file


def write_digit(path: Path) -> Path:
    """Write a handwritten digit as a photo to give to the server."""
    _run(["-c", DRAW_DIGIT, str(path)], path.parent).check_returncode()
    return path


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a server of the demonstration's model, which is in the folder."""
    port = _free_port()
    command = [PYTHON, "-m", "xception", *shlex.split(SERVE_COMMAND)[1:-1], str(port)]
    with (folder / "server.log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, env=_environment(), stdout=log, stderr=log)
        try:
            _wait_until_ready(process, port)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(WAIT_S)


def _wait_until_ready(process: subprocess.Popen[bytes], port: int) -> None:
    until = time.monotonic() + WAIT_S
    while process.poll() is None and time.monotonic() < until:
        try:
            connection = HTTPConnection("127.0.0.1", port, timeout=1)
            connection.request("GET", "/v2/health/ready")
            if connection.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"no answer from {SERVE_COMMAND}; its log is next to the pages")


def _free_port() -> int:
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        port: int = trial.getsockname()[1]
        return port


def _run(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    command = [PYTHON, *arguments]
    return subprocess.run(command, cwd=folder, env=_environment(), capture_output=True, text=True, check=False)


def _environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT / "src")}
