"""TensorBoard's events of single steps, next to those of the epochs in the log."""

from time import perf_counter, time

from xception.bundle import Bundle
from xception.train.callbacks import Callback, RunningTraining, StepReport
from xception.train.logs import Epoch, Scalars, events
from xception.train.storage import Storage

MAX_STEP_POINTS = 5000
"""Points of a whole run at most; of longer ones, every second step is kept, or every third and so on."""

WRITE_EVERY_S = 60.0


class StepEvents(Callback):
    """Writes loss and rate of the steps since this process began, in a file of its own, which is rewritten as it grows.

    TensorBoard shows the files of all processes that had a part in a run as one curve.
    """

    only_watches = True

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._points: list[Scalars] = []
        self._name = ""
        self._written_at = perf_counter()

    def on_start(self, run: RunningTraining) -> None:
        self._name = f"events.out.tfevents.{run.state.progress.step + 1}.xception.steps"

    def on_step(self, run: RunningTraining, report: StepReport) -> None:  # noqa: ARG002 - as every callback
        if report.step % (1 + report.total_steps // MAX_STEP_POINTS) == 0:
            values = {"step/loss": report.loss, "step/lr": report.lr}
            self._points.append(Scalars(at=time(), step=report.step, values=values))
        if perf_counter() - self._written_at > WRITE_EVERY_S:
            self._write()

    def on_epoch(self, run: RunningTraining, row: Epoch) -> None:  # noqa: ARG002 - as every callback
        self._write()

    def on_end(self, run: RunningTraining, bundle: Bundle) -> None:  # noqa: ARG002 - as every callback
        self._write()

    def _write(self) -> None:
        if self._points:
            self._storage.write(self._name, events(self._points, self._points[0].at))
        self._written_at = perf_counter()
