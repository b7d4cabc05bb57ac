"""From the start of a process to the first label, and the memory that it takes: `python -m benchmarks.startup PHOTO`.

`xception predict` with one photograph, for the bundle of every backend in turn, each time in a fresh process; the files
lie in the system's cache after the first round, which does not count. Writes a table and the figures of every round to
`--out`, `.md` and `.json`.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from benchmarks.record import FOLDER, conditions, measured_on, save
from benchmarks.run import untrained
from xception.export.export import export_bundle
from xception.machine import peak_memory_bytes

FORMS = {"torch": "weights", "onnxruntime": "onnx", "openvino": "openvino", "litert": "litert"}


def main() -> None:
    """Measure and print."""
    arguments = _arguments()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        weights = untrained(arguments.variant, folder / "weights")
        for form in set(FORMS.values()) - {"weights"}:
            export_bundle(weights, form, folder / form)
        commands = {
            backend: ["predict", str(folder / form), str(arguments.photo), "--backend", backend]
            for backend, form in FORMS.items()
        }
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in ("version", *commands)}
        for _ in range(1 + arguments.rounds):
            for name, command in {"version": ["--version"], **commands}.items():
                taken[name].append(first_line(command))
    measured = {
        name: {"seconds": [row[0] for row in rows[1:]], "mb": [row[1] for row in rows[1:]]}
        for name, rows in taken.items()
    }
    document = {
        **measured_on("torch", "onnxruntime", "openvino", "ai-edge-litert"),
        "variant": arguments.variant,
        "rounds": arguments.rounds,
        "rows": measured,
    }
    save(arguments.out, document, markdown(document))
    print(markdown(document))


def markdown(document: Mapping[str, Any]) -> str:
    lines = [
        f"`xception predict` with a bundle of `{document['variant']}` and one photograph, and `xception --version`:",
        f"medians of {document['rounds']} fresh processes each, {document['date']} ({conditions(document)}).",
        "",
        "| process | first line, s | lowest to highest | peak memory, MB |",
        "| --- | ---: | ---: | ---: |",
    ]
    for name, row in document["rows"].items():
        seconds = row["seconds"]
        spread = f"{min(seconds):.2f} to {max(seconds):.2f}"
        lines.append(f"| {name} | {median(seconds):.2f} | {spread} | {median(row['mb']):.0f} |")
    return "\n".join(lines) + "\n"


def first_line(arguments: Sequence[str]) -> tuple[float, float]:
    """Seconds until a command's first line on stdout, and its peak of resident memory up to then in MB.

    Raises:
        RuntimeError: it failed.
    """
    command = [sys.executable, "-m", "xception", *arguments]
    start = perf_counter()
    # Unbuffered as on a terminal: a line comes when it is written.
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as process:
        line = process.stdout.readline()  # type: ignore[union-attr]
        seconds = perf_counter() - start
        memory = peak_memory_bytes(process.pid) or 0
    if process.returncode or not line:
        raise RuntimeError(f"{' '.join(arguments)} ended with status {process.returncode} and {line!r}")
    return seconds, memory / 1e6


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photo", type=Path)
    parser.add_argument("--variant", default="timm_xception")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=FOLDER / "startup")
    return parser.parse_args()


if __name__ == "__main__":
    main()
