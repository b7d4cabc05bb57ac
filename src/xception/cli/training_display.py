"""How a training run looks: a bar on a terminal; elsewhere a line now and then, as a log file wants it."""

from collections import deque
from collections.abc import Callable
from datetime import timedelta
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING

from xception.cli.output import say

if TYPE_CHECKING:
    from rich.progress import Progress

    from xception.train.loop import StepReport
    from xception.train.state import Epoch

LINE_EVERY_S = 30.0
WINDOW = 50
"""Steps that the shown speed is taken over."""


class TrainingDisplay:
    """Hears of every step and epoch, and shows what a person wants to know."""

    def __init__(self, progress: "Progress", now: Callable[[], float] = perf_counter) -> None:
        self._progress = progress
        self._task = progress.add_task("training", total=None)
        self._now = now
        self._ends: deque[tuple[float, int]] = deque([(now(), 0)], maxlen=WINDOW + 1)
        self._last_line = now()
        self.rows: list[Epoch] = []

    def on_step(self, report: "StepReport") -> None:
        self._ends.append((self._now(), report.images))
        words = self._words(report)
        self._progress.update(self._task, completed=report.step, total=report.total_steps, description=words)
        if self._progress.disable and self._now() - self._last_line >= LINE_EVERY_S:
            self._last_line = self._now()
            left = timedelta(seconds=round((report.total_steps - report.step) * self._seconds_per_step()))
            say(f"step {report.step}/{report.total_steps}, {words}, {left} left")

    def on_epoch(self, row: "Epoch") -> None:
        self.rows.append(row)
        accuracy = "-" if row.validation_top1 is None else f"{row.validation_top1:.2%}"
        say(
            f"epoch {row.epoch}: loss {row.train_loss:.4f}, validation top-1 {accuracy}, rate {row.lr:.2g}, "
            f"{row.images_per_second:,.0f} images/s, {row.seconds:.0f} s"
        )
        self._last_line = self._now()
        self._ends.clear()  # validation is not training
        self._ends.append((self._now(), 0))

    @property
    def speed(self) -> str:
        """Medians over the epochs that were seen."""
        if not self.rows:
            return "not measured: no epoch ended in this process"
        devices = self.rows[-1].devices
        rate = median(row.images_per_second / row.devices for row in self.rows)
        ms_per_step = median(row.ms_per_step for row in self.rows)
        return f"{ms_per_step:.1f} ms/step, {rate:,.1f} images/s per device, {devices} device{'s' * (devices > 1)}"

    def _words(self, report: "StepReport") -> str:
        images = sum(count for _, count in list(self._ends)[1:])
        elapsed = self._ends[-1][0] - self._ends[0][0]
        speed = f"{images / elapsed:,.0f}" if elapsed else "-"
        return f"epoch {report.epoch}/{report.epochs}, loss {report.loss:.3f}, rate {report.lr:.2g}, {speed} images/s"

    def _seconds_per_step(self) -> float:
        return (self._ends[-1][0] - self._ends[0][0]) / max(1, len(self._ends) - 1)
