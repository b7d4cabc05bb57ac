"""Callbacks that log a run to Weights & Biases or MLflow: into files, unless the environment names a server."""

import os
from collections.abc import Callable
from typing import Any

from xception.bundle import Bundle
from xception.data.remote import is_remote
from xception.extras import require
from xception.outputs import json_document
from xception.train.callbacks import Callback, RunningTraining, StepReport
from xception.train.logs import Epoch, tagged
from xception.train.manifest import settings_of
from xception.train.storage import open_storage, read_document

TRACKED = "tracked.json"
"""File in a run's folder with the name that each tracker gave the run, so that a resumed run goes on there."""

PROJECT = "xception"
"""Project, or experiment, that runs are logged to unless another is named."""

STEPS_PER_POINT = 10


class _Tracker(Callback):
    """The base of both: settings are logged first, then every tenth step and every epoch, and the bundle at the end."""

    only_watches = True

    def __init__(self, project: str = PROJECT) -> None:
        self.project = project

    def log(self, values: dict[str, float], step: int) -> None:
        raise NotImplementedError

    def begin(self, run: RunningTraining, known: str | None) -> str:
        """Begin to log, or go on with the run that the tracker knows by this name; returns the name."""
        raise NotImplementedError

    def on_start(self, run: RunningTraining) -> None:
        storage, tracker = open_storage(run.place), type(self).__name__
        names = read_document(storage, TRACKED, dict[str, str], "names of a run in trackers") or {}
        name = self.begin(run, names.get(tracker))
        if names.get(tracker) != name:
            storage.write(TRACKED, json_document(names | {tracker: name}))

    def on_step(self, run: RunningTraining, report: StepReport) -> None:  # noqa: ARG002 - as every callback
        if report.step % STEPS_PER_POINT == 0:
            self.log({"step/loss": report.loss, "step/lr": report.lr}, report.step)

    def on_epoch(self, run: RunningTraining, row: Epoch) -> None:  # noqa: ARG002 - as every callback
        self.log(tagged(row), row.steps)


class WandbTracker(_Tracker):
    """Logs to Weights & Biases: into the run's folder, for `wandb sync`, unless WANDB_MODE says otherwise."""

    def __init__(self, project: str = PROJECT) -> None:
        super().__init__(project)
        self._wandb: Any = require("wandb", "track")
        self._run: Any = None

    def begin(self, run: RunningTraining, known: str | None) -> str:
        self._run = self._wandb.init(
            id=known,
            resume="allow",
            project=self.project,
            name=_name(run),
            config=settings_of(run.recipe),
            dir=None if is_remote(run.place) else run.place,
            mode=os.environ.get("WANDB_MODE", "offline"),
        )
        return str(self._run.id)

    def log(self, values: dict[str, float], step: int) -> None:
        self._run.log(values, step=step)

    def on_end(self, run: RunningTraining, bundle: Bundle) -> None:  # noqa: ARG002 - as every callback
        self._run.summary["bundle"] = bundle.model.digest
        self._run.finish()


class MlflowTracker(_Tracker):
    """Logs to MLflow: into `mlruns` in the run's folder, unless MLFLOW_TRACKING_URI names a server."""

    def __init__(self, project: str = PROJECT) -> None:
        super().__init__(project)
        self._mlflow: Any = require("mlflow", "track")
        self._client: Any = None
        self._id = ""
        self._last_steps: dict[str, int] = {}

    def begin(self, run: RunningTraining, known: str | None) -> str:
        folder = "mlruns" if is_remote(run.place) else f"{run.place}/mlruns"
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        self._client = self._mlflow.MlflowClient(os.environ.get("MLFLOW_TRACKING_URI", folder))
        self._id = self._continued(known) or self._created(run)
        return self._id

    def _continued(self, known: str | None) -> str:
        """The name of the run as it is there; empty if it is not, as after its server was replaced."""
        try:
            found = self._client.get_run(known) if known else None
        except self._mlflow.exceptions.MlflowException:
            return ""
        if found is None:
            return ""
        self._client.update_run(known, status="RUNNING")
        return str(known)

    def _created(self, run: RunningTraining) -> str:
        known = self._client.get_experiment_by_name(self.project)
        experiment = known.experiment_id if known else self._client.create_experiment(self.project)
        name = str(self._client.create_run(experiment, run_name=_name(run)).info.run_id)
        for setting, value in settings_of(run.recipe).items():
            self._client.log_param(name, setting, value)
        return name

    def log(self, values: dict[str, float], step: int) -> None:
        for name, value in values.items():
            if step > self._last_step(name):
                self._client.log_metric(self._id, name, value, step=step)

    def _last_step(self, name: str) -> int:
        """The last step that the run has a value of before this process; it may be further than the saved state."""
        if name not in self._last_steps:
            history = self._client.get_metric_history(self._id, name)
            self._last_steps[name] = max((point.step for point in history), default=-1)
        return self._last_steps[name]

    def on_end(self, run: RunningTraining, bundle: Bundle) -> None:  # noqa: ARG002 - as every callback
        self._client.set_tag(self._id, "bundle", bundle.model.digest)
        self._client.set_terminated(self._id)


TRACKERS: dict[str, Callable[[], Callback]] = {"wandb": WandbTracker, "mlflow": MlflowTracker}
"""The tracker of each name that `--track` takes, which is that of its package too."""


def _name(run: RunningTraining) -> str:
    return run.place.rstrip("/").rpartition("/")[2]
