"""The live objects of a run: everything that a checkpoint keeps."""

from dataclasses import dataclass

import msgspec
import torch
from torch.optim import Optimizer

from xception.models.network import Xception
from xception.train.logs import Epoch


class Progress(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The position of a run. Samples and random numbers follow from the step, so that nothing else has to be saved."""

    recipe: str
    """Digest of the recipe."""
    data: str
    """Fingerprint of the training data."""
    classes: int = 0
    images: int = 0
    step: int = 0
    """Number of finished steps since the start of the run."""
    loss_sum: float = 0.0
    """Sum of the losses of the images of the current epoch so far."""
    seen: int = 0
    """Images of the current epoch so far."""
    step_seconds: float = 0.0
    """Seconds of training in the current epoch so far, without validation."""
    seconds: float = 0.0
    """Seconds since the start of the run, without its interruptions."""
    started_at: float = 0.0
    """Start of the run, in seconds since 1970."""
    ended_by: str = ""
    """The reason why a callback ended the run, if one did."""
    scaler: dict[str, int | float] = {}
    """State of the loss scaling of float16."""
    history: list[Epoch] = []

    @property
    def validation_losses(self) -> list[float]:
        """Validation losses of the finished epochs that have one."""
        return [row.validation_loss for row in self.history if row.validation_loss is not None]


@dataclass
class TrainingState:
    """The network, its optimiser and the position of a run."""

    network: Xception
    optimizer: Optimizer
    progress: Progress
    average: Xception | None = None
    """Moving average of the weights, if the recipe asks for one."""
    scaler: torch.amp.GradScaler | None = None
    """Loss scaling of float16."""

    @property
    def published(self) -> Xception:
        """The network that is validated and published."""
        return self.average or self.network
