"""Callbacks of a program: they see all of a run's state after every step and epoch, and may end it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from xception.bundle import Bundle
from xception.train.logs import Epoch

if TYPE_CHECKING:
    from xception.train.recipe import Recipe
    from xception.train.schedule import Course
    from xception.train.state import TrainingState


@dataclass(frozen=True, kw_only=True)
class StepReport:
    """The progress of a run after one step."""

    step: int
    total_steps: int
    epoch: int
    epochs: int
    images: int
    """Images of this step, over all devices."""
    loss: float
    lr: float


@dataclass(kw_only=True)
class RunningTraining:
    """A run as its callbacks see it."""

    recipe: "Recipe"
    course: "Course"
    """The length of the run."""
    place: str
    """Folder or URL of the run."""
    state: "TrainingState"
    """Network, optimiser, average, and the progress with the log of all finished epochs."""
    note: Callable[[str], None]
    """Tells the person who trains a sentence."""
    ended_by: str = field(default="", init=False)

    def stop(self, reason: str) -> None:
        """End the run after this step as if it were its last: it is validated, and its bundle is written."""
        self.ended_by = reason or "a callback"


class Callback:
    """The base of callbacks, whose methods do nothing; only the first of several processes calls them.

    A callback may change the network or the optimiser. Its name and the hash of its source are therefore part of what
    a run is known by, unless it says that it only watches.
    """

    only_watches: bool = False
    """True for a callback that neither changes the state of the run nor ends it."""

    def on_start(self, run: RunningTraining) -> None:
        """Called before the first step of this process."""

    def on_step(self, run: RunningTraining, report: StepReport) -> None:
        """Called after every step."""

    def on_epoch(self, run: RunningTraining, row: Epoch) -> None:
        """Called after the validation of every epoch."""

    def on_end(self, run: RunningTraining, bundle: Bundle) -> None:
        """Called when the bundle is written."""
