"""The whole state of a training run in one file, which is always either the old one or the new one."""

import errno
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch.optim import Optimizer

from xception.errors import EnvironmentFault, InputError
from xception.models.network import Xception

NAME = "checkpoint.safetensors"


class Epoch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one finished epoch came to; accuracies are fractions on the validation part."""

    epoch: int
    steps: int
    lr: float
    train_loss: float
    validation_loss: float | None
    validation_top1: float | None
    seconds: float


class Progress(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Where a run stands. Samples and random numbers follow from the step, so that this is all there is to save."""

    recipe: str
    """Digest of the recipe."""
    data: str
    """Fingerprint of the training data."""
    step: int = 0
    """Finished steps since the start of the run."""
    loss_sum: float = 0.0
    """Over the images of the current epoch so far."""
    seen: int = 0
    seconds: float = 0.0
    history: list[Epoch] = []


@dataclass
class TrainingState:
    """The live objects of a run, which a checkpoint holds the content of."""

    network: Xception
    optimizer: Optimizer
    progress: Progress


def save_checkpoint(folder: Path, state: TrainingState) -> None:
    """Write the state beside the last checkpoint and rename it into place.

    Raises:
        EnvironmentFault: it cannot be written; the last checkpoint is as it was.
    """
    tensors = {name: tensor.contiguous() for name, tensor in _tensors(state).items()}
    content = save(tensors, {"progress": msgspec.json.encode(state.progress).decode()})
    write_atomically(folder / NAME, content)


def load_checkpoint(folder: Path, state: TrainingState) -> None:
    """Take over the state of `folder`'s checkpoint, if it has one.

    Raises:
        InputError: a checkpoint that is broken, or of another recipe or other data.
    """
    path = folder / NAME
    if not path.exists():
        return
    try:
        with safe_open(path, "pt") as file:
            progress = msgspec.json.decode(file.metadata()["progress"], type=Progress)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, OSError, KeyError, TypeError, msgspec.DecodeError) as error:
        raise InputError(f"the checkpoint {path} is broken ({error}); remove it to start again") from error
    for what in ("recipe", "data"):
        if getattr(state.progress, what) != getattr(progress, what):
            raise InputError(
                f"the checkpoint {path} is of another {what}; resume with the same {what}, or choose another place"
            )
    state.progress = progress
    _restore(state, tensors)


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that its place always holds the old or the new content, whole.

    Raises:
        EnvironmentFault: it cannot be written; the old content is as it was.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        with suppress(OSError):  # where it could not even be made
            partial.unlink()
        hint = "make room and resume" if error.errno == errno.ENOSPC else "choose a place you may write to"
        raise EnvironmentFault(f"cannot write {path}: {error.strerror}; what was there is unchanged; {hint}") from error


def _tensors(state: TrainingState) -> dict[str, torch.Tensor]:
    tensors = {f"network/{name}": tensor for name, tensor in state.network.state_dict().items()}
    for name, parameter in state.network.named_parameters():
        for key, value in state.optimizer.state.get(parameter, {}).items():
            tensors[f"optimizer/{name}/{key}"] = torch.as_tensor(value)
    return tensors


def _restore(state: TrainingState, tensors: dict[str, torch.Tensor]) -> None:
    state.network.load_state_dict(_below("network/", tensors))
    for name, parameter in state.network.named_parameters():
        slots = _below(f"optimizer/{name}/", tensors)
        if slots:
            state.optimizer.state[parameter] = {key: _like(parameter, value) for key, value in slots.items()}


def _below(prefix: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _like(parameter: torch.Tensor, slot: torch.Tensor) -> torch.Tensor:
    """The slot in its parameter's memory format, which decides the order of sums in later steps."""
    if slot.shape != parameter.shape:
        return slot
    return torch.empty_like(parameter, requires_grad=False).copy_(slot)
