"""The command line in a process that sends itself a signal after a step of training.

    python -m tests.cli.signalled SIGKILL 40 train digits --out run

At a step rather than after a time: that a run is hit in the middle must not depend on the machine.
"""

import os
import signal
import sys
from collections.abc import Callable

from xception.cli import train, training_display
from xception.cli.app import run
from xception.train.loop import StepReport


def after_step(step: int, act: Callable[[], object]) -> type[training_display.TrainingDisplay]:
    """The usual display, which acts after a step."""

    class Display(training_display.TrainingDisplay):
        def on_step(self, report: StepReport) -> None:
            super().on_step(report)
            if report.step == step:
                act()

    return Display


if __name__ == "__main__":
    name, step, *arguments = sys.argv[1:]
    number = signal.Signals[name]
    display = after_step(int(step), lambda: os.kill(os.getpid(), number))
    train.TrainingDisplay = display  # type: ignore[attr-defined]
    sys.exit(run(arguments))
