"""Contenders as child processes that answer questions."""

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent


class Broken(Exception):
    """A contender that cannot be measured, and why."""


class Process:
    """A running contender; stopped at the end of a `with` block."""

    def __init__(self, command: Sequence[str | Path], log: Path) -> None:
        self._log = log
        with log.open("w") as errors:
            self._process = subprocess.Popen(
                [str(word) for word in command],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *_: object) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                pipe.close()
        self._process.terminate()
        self._process.wait()

    def ask(self, do: str, **details: Any) -> dict[str, Any]:
        """The answer to one question.

        Raises:
            Broken: it has none.
        """
        if self._process.stdin is None or self._process.stdout is None:
            raise Broken("it has no pipes")
        try:
            self._process.stdin.write(json.dumps({"do": do, **details}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # what it said before it ended is in its log
        line = self._process.stdout.readline()
        if not line:
            # It closes its pipe before it has said its last, so the log is complete only when it has ended.
            status = self._process.wait()
            last_words = self._log.read_text(errors="replace").strip().rpartition("\n")[2]
            raise Broken(f"ended with status {status}: {last_words}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise Broken(answer["error"])
        return answer
