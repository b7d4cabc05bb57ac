"""Progress of a training run: a bar on a terminal; elsewhere a line every half a minute, as suits a log file."""

from collections import deque
from collections.abc import Callable
from datetime import timedelta
from time import perf_counter
from typing import TYPE_CHECKING

from xception.cli.output import say
from xception.train.callbacks import Callback, RunningTraining, StepReport
from xception.train.logs import Epoch

if TYPE_CHECKING:
    from rich.progress import Progress

LINE_EVERY_S = 30.0
SPEED_WINDOW_STEPS = 50
"""Number of last steps that the shown speed is measured over."""


class TrainingDisplay(Callback):
    """Shows the steps and epochs of a run."""

    only_watches = True

    def __init__(self, progress: "Progress", now: Callable[[], float] = perf_counter) -> None:
        self._progress = progress
        self._task = progress.add_task("training", total=None)
        self._now = now
        self._ends: deque[tuple[float, int]] = deque([(now(), 0)], maxlen=SPEED_WINDOW_STEPS + 1)
        self._last_line = now()

    def on_step(self, run: RunningTraining, report: StepReport) -> None:  # noqa: ARG002 - as every callback
        self._ends.append((self._now(), report.images))
        words = self._words(report)
        self._progress.update(self._task, completed=report.step, total=report.total_steps, description=words)
        if self._progress.disable and self._now() - self._last_line >= LINE_EVERY_S:
            self._last_line = self._now()
            left = timedelta(seconds=round((report.total_steps - report.step) * self._seconds_per_step()))
            say(f"step {report.step}/{report.total_steps}, {words}, {left} left")

    def on_epoch(self, run: RunningTraining, row: Epoch) -> None:  # noqa: ARG002 - as every callback
        name, value = row.headline
        second = ("macro F1", row.validation_macro_f1)
        second = second if name != "top-1" else ("balanced accuracy", row.validation_balanced_accuracy)
        say(
            f"epoch {row.epoch}: loss {row.train_loss:.4f}, validation {name} {_share(value)}, "
            f"{second[0]} {_share(second[1])}, rate {row.lr:.2g}, "
            f"{row.ms_per_step:.1f} ms/step, {row.images_per_second:,.0f} images/s, {row.seconds:.0f} s"
        )
        self._last_line = self._now()
        self._ends.clear()  # validation is not training
        self._ends.append((self._now(), 0))

    def _words(self, report: StepReport) -> str:
        images = sum(count for _, count in list(self._ends)[1:])
        elapsed = self._ends[-1][0] - self._ends[0][0]
        speed = f"{images / elapsed:,.0f}" if elapsed else "-"
        return f"epoch {report.epoch}/{report.epochs}, loss {report.loss:.3f}, rate {report.lr:.2g}, {speed} images/s"

    def _seconds_per_step(self) -> float:
        return (self._ends[-1][0] - self._ends[0][0]) / max(1, len(self._ends) - 1)


def _share(fraction: float | None) -> str:
    return "-" if fraction is None else f"{fraction:.2%}"
