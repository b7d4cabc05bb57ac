"""The live objects of a run, and all of them as bytes."""

from dataclasses import dataclass

import msgspec
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch.optim import Optimizer

from xception.errors import InputError
from xception.models.network import Xception


class Epoch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one finished epoch came to; accuracies are fractions on the validation part."""

    epoch: int
    steps: int
    lr: float
    train_loss: float
    validation_loss: float | None
    validation_top1: float | None
    seconds: float
    """Since the start of the run, without its interruptions."""
    images_per_second: float
    """Of this epoch's training, over all devices, with the waiting for data and without validation."""
    ms_per_step: float
    devices: int


class Progress(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Where a run stands. Samples and random numbers follow from the step, so that this is all there is to save."""

    recipe: str
    """Digest of the recipe."""
    data: str
    """Fingerprint of the training data."""
    classes: int = 0
    images: int = 0
    step: int = 0
    """Finished steps since the start of the run."""
    loss_sum: float = 0.0
    """Over the images of the current epoch so far."""
    seen: int = 0
    step_seconds: float = 0.0
    """Spent on training in the current epoch so far."""
    seconds: float = 0.0
    started_at: float = 0.0
    """When the run began, in seconds since 1970."""
    scaler: dict[str, int | float] = {}
    """State of the loss scaling of float16."""
    history: list[Epoch] = []


@dataclass
class TrainingState:
    """What a checkpoint holds the content of."""

    network: Xception
    optimizer: Optimizer
    progress: Progress
    average: Xception | None = None
    """Moving average of the weights, where the recipe wants one."""
    scaler: torch.amp.GradScaler | None = None
    """Loss scaling of float16."""

    @property
    def judged(self) -> Xception:
        """The network that is validated and published."""
        return self.average or self.network


def encoded(state: TrainingState) -> bytes:
    """The whole state as one safetensors file; equal states give equal bytes."""
    if state.scaler is not None:
        state.progress.scaler = state.scaler.state_dict()
    tensors = {name: tensor.contiguous() for name, tensor in _tensors(state).items()}
    return save(tensors, {"progress": msgspec.json.encode(state.progress).decode()})


def restore(state: TrainingState, content: bytes, name: str) -> None:
    """Take over the state that `content` holds; `name` says in errors where it came from.

    Raises:
        InputError: content that is no checkpoint, or one of another recipe or other data.
    """
    progress, tensors = _decoded(content, name)
    _check_same_run(state.progress, progress, name)
    state.progress = progress
    state.network.load_state_dict(_below("network/", tensors))
    if state.average is not None:
        state.average.load_state_dict(_below("average/", tensors))
    if state.scaler is not None and progress.scaler:
        state.scaler.load_state_dict(progress.scaler)
    for key, parameter in state.network.named_parameters():
        slots = _below(f"optimizer/{key}/", tensors)
        if slots:
            state.optimizer.state[parameter] = {slot: _like(parameter, value) for slot, value in slots.items()}


def _decoded(content: bytes, name: str) -> tuple[Progress, dict[str, torch.Tensor]]:
    try:
        tensors = load(content)
        header = msgspec.json.decode(content[8 : 8 + int.from_bytes(content[:8], "little")])
        return msgspec.json.decode(header["__metadata__"]["progress"], type=Progress), tensors
    except (SafetensorError, KeyError, TypeError, msgspec.DecodeError) as error:
        raise InputError(f"the checkpoint {name} is broken ({error}); remove it to start again") from error


def _check_same_run(here: Progress, there: Progress, name: str) -> None:
    if here.classes != there.classes:
        raise InputError(
            f"the checkpoint {name} is of data with {there.classes} classes, these have {here.classes}; "
            "resume with the same data, or choose another place"
        )
    for what in ("recipe", "data"):
        if getattr(here, what) != getattr(there, what):
            raise InputError(
                f"the checkpoint {name} is of another {what}; resume with the same {what}, or choose another place"
            )


def _tensors(state: TrainingState) -> dict[str, torch.Tensor]:
    tensors = {f"network/{name}": tensor for name, tensor in state.network.state_dict().items()}
    if state.average is not None:
        tensors |= {f"average/{name}": tensor for name, tensor in state.average.state_dict().items()}
    for name, parameter in state.network.named_parameters():
        for key, value in state.optimizer.state.get(parameter, {}).items():
            tensors[f"optimizer/{name}/{key}"] = torch.as_tensor(value)
    return tensors


def _below(prefix: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _like(parameter: torch.Tensor, slot: torch.Tensor) -> torch.Tensor:
    """The slot in its parameter's memory format, which decides the order of sums in later steps."""
    if slot.shape != parameter.shape:
        return slot
    return torch.empty_like(parameter, requires_grad=False).copy_(slot)
