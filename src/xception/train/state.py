"""The live objects of a run: everything that a checkpoint keeps."""

from dataclasses import dataclass

import msgspec
import torch
from torch.optim import Optimizer

from xception.models.network import Xception
from xception.tasks.evaluation import Evaluation
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

    def finish_epoch(self, validation: Evaluation | None, *, lr: float, devices: int) -> Epoch:
        """Append the log row of the epoch that ends here, and begin the sums of the next one; returns the row."""
        before = self.history[-1].steps if self.history else 0
        row = Epoch(
            epoch=len(self.history) + 1,
            steps=self.step,
            lr=lr,
            train_loss=self.loss_sum / self.seen,
            validation_loss=validation.loss if validation else None,
            validation_top1=validation.top1.value if validation and validation.top1 else None,
            validation_top5=validation.top5.value if validation and validation.top5 else None,
            validation_balanced_accuracy=validation.balanced_accuracy if validation else None,
            validation_balanced_loss=validation.balanced_loss if validation else None,
            validation_macro_f1=validation.macro_f1 if validation else None,
            validation_roc_auc=validation.roc_auc if validation else None,
            validation_average_precision=validation.average_precision if validation else None,
            seconds=round(self.seconds, 3),
            images_per_second=round(self.seen / self.step_seconds, 1),
            ms_per_step=round(1000 * self.step_seconds / max(1, self.step - before), 2),
            devices=devices,
        )
        self.history.append(row)
        self.loss_sum, self.seen, self.step_seconds = 0.0, 0, 0.0
        return row


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
