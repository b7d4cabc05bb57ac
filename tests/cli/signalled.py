"""The command line in a process that sends itself a signal after a step of training.

    python -m tests.cli.signalled SIGKILL 40 train digits --out run

At a step rather than after a time: that a run is hit in the middle must not depend on the machine.
"""

import os
import signal
import sys
from collections.abc import Callable

from xception.cli import training_display
from xception.cli.app import run as run_command
from xception.train.callbacks import RunningTraining, StepReport


def after_step(step: int, act: Callable[[], object]) -> type[training_display.TrainingDisplay]:
    """The usual display, which acts after a step."""

    class Display(training_display.TrainingDisplay):
        def on_step(self, run: RunningTraining, report: StepReport) -> None:
            super().on_step(run, report)
            if report.step == step:
                act()

    return Display


if __name__ == "__main__":
    name, step, *arguments = sys.argv[1:]
    number = signal.Signals[name]
    display = after_step(int(step), lambda: os.kill(os.getpid(), number))
    training_display.TrainingDisplay = display
    sys.exit(run_command(arguments))
