"""The saving of a run's state: after epochs, and in between as often as it is cheap."""

from dataclasses import dataclass, field
from time import perf_counter

from xception.errors import CheckFailed
from xception.train.checkpoint import Checkpoints
from xception.train.figures import ranks
from xception.train.setup import TrainingSetup

CHECKPOINT_EVERY_S = 10.0
"""Seconds of work that a killed run loses at most, in addition to the step that it was in, where saving is quick."""

MAX_SAVING_SHARE = 0.05
"""Share of the time that saving takes at most, where it is slow."""


@dataclass
class Saver:
    """Saves the state of a run when it is time to."""

    setup: TrainingSetup
    checkpoints: Checkpoints
    every_epochs: int | None = None
    """Epochs between two saved states; by default one, with states in between."""
    publishes_best: bool = False
    """The state of the best epoch is needed in the end."""
    next_at: float = field(default_factory=lambda: perf_counter() + CHECKPOINT_EVERY_S)
    """Time of the next state within an epoch, by `perf_counter`."""

    def is_due(self) -> bool:
        """Tell whether a state within an epoch is to be saved now."""
        return self.every_epochs is None and perf_counter() > self.next_at

    def needs_epoch(self) -> bool:
        """Tell whether the state after the epoch that just ended is needed later."""
        progress, course = self.setup.state.progress, self.setup.course
        is_last = bool(progress.ended_by) or course.is_over(progress.history)
        if is_last or self.every_epochs is None or len(progress.history) % self.every_epochs == 0:
            return True
        places = ranks(progress.history, course.figure)
        return self.publishes_best and bool(places) and places[-1] == max(places)

    def save(self) -> None:
        """Keep the state, and put off the next time so that saving takes a small share of the run."""
        began = perf_counter()
        if self.setup.fabric.is_global_zero:
            self._check_weights()
            self.checkpoints.save(self.setup.state)
        ended = perf_counter()
        self.next_at = ended + max(CHECKPOINT_EVERY_S, (ended - began) / MAX_SAVING_SHARE)

    def _check_weights(self) -> None:
        """Refuse to save weights that are not finite, which the next loss would show too late.

        Raises:
            CheckFailed: a weight or running statistic is not finite.
        """
        for name, tensor in self.setup.state.network.state_dict().items():
            if not tensor.isfinite().all():
                raise CheckFailed(
                    f"{name} is not finite after step {self.setup.state.progress.step}; the last good checkpoint is "
                    f"{self.checkpoints.newest or 'none'}; train again elsewhere with a lower optim.lr"
                )
