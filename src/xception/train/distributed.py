"""Devices and processes, through Fabric: one process here, or as many as torchrun started."""

import os
from collections.abc import Callable, Iterator
from typing import Any, TypeVar, cast

import numpy as np
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision, Precision
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning_fabric.strategies.ddp import DDPStrategy
from torch import distributed
from torch.optim import Optimizer

from xception.data.source import Item, Source, insisting
from xception.data.subset import share
from xception.errors import EnvironmentFault, UsageError
from xception.train.settings import ComputeSettings

T = TypeVar("T")


def launch(settings: ComputeSettings, *, is_staged: bool = False) -> tuple[Fabric, torch.amp.GradScaler | None]:
    """Join the other processes of the run, if torchrun started any; returns the loss scaling of float16 too.

    Args:
        settings: the arithmetic.
        is_staged: some weights do not learn in all epochs.

    Raises:
        UsageError: batch statistics cannot be synchronised on this device.
        EnvironmentFault: the other processes cannot be reached.
    """
    world, local = (int(os.environ.get(name, 1)) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if settings.sync_norm and device == "cpu" and world > 1:
        raise UsageError("compute.sync_norm needs GPUs: torch synchronises batch statistics there only; leave it out")
    scaler = _scaler(settings, device)
    fabric = Fabric(
        accelerator=device,
        devices=local,
        num_nodes=world // local,
        strategy=DDPStrategy(find_unused_parameters=is_staged) if world > 1 else "auto",
        plugins=[_precision(settings, device, scaler), *([TorchElasticEnvironment()] if world > 1 else [])],
    )
    try:
        fabric.launch()
    except (RuntimeError, ValueError) as error:  # what torch.distributed raises if no process answers
        raise EnvironmentFault(
            f"cannot join the other {world - 1} processes of this run: {error}; check torchrun's --rdzv-endpoint "
            "and that every node can reach it"
        ) from error
    return fabric, scaler


class FixedScaler(torch.amp.GradScaler):
    """A loss scaling that never changes, and leaves no step out: MindSpore's `FixedLossScaleManager` with
    `drop_overflow_update=False`, as its and MindCV's scripts have it. Gradients that are not finite then reach the
    weights, and the run ends at the next loss."""

    def __init__(self, device: str, scale: float) -> None:
        super().__init__(device, init_scale=scale)
        self._fixed = scale

    def unscale_(self, optimizer: Optimizer) -> None:
        super().unscale_(optimizer)
        self._forget_overflow(optimizer)

    def _check_inf_per_device(self, optimizer: Optimizer) -> dict[str, Any]:
        """Torch asks this for optimisers that unscale in their own kernel."""
        super()._check_inf_per_device(optimizer)
        return self._forget_overflow(optimizer)

    def _forget_overflow(self, optimizer: Optimizer) -> dict[str, Any]:
        found: dict[str, Any] = self._per_optimizer_states[id(optimizer)]["found_inf_per_device"]
        for overflow in found.values():
            overflow.zero_()
        return found

    def update(self, new_scale: float | torch.Tensor | None = None) -> None:  # noqa: ARG002 - torch's signature
        super().update(self._fixed)


def _scaler(settings: ComputeSettings, device: str) -> torch.amp.GradScaler | None:
    if settings.precision != "float16":
        return None
    return FixedScaler(device, settings.loss_scale) if settings.loss_scale else torch.amp.GradScaler(device)


def _precision(settings: ComputeSettings, device: str, scaler: torch.amp.GradScaler | None) -> Precision:
    if settings.precision == "float32":
        return Precision()
    return MixedPrecision("16-mixed" if settings.precision == "float16" else "bf16-mixed", device, scaler)


def from_first(fabric: Fabric, make: Callable[[], T]) -> T:
    """The result of `make`, which only the first process calls, in all processes."""
    return fabric.broadcast(make() if fabric.is_global_zero else None)  # type: ignore[return-value]


def gathered(fabric: Fabric, value: T) -> list[T]:
    """The values of all processes, in their order."""
    if fabric.world_size == 1:
        return [value]
    values: list[T | None] = [None] * fabric.world_size
    distributed.all_gather_object(values, value)
    return cast(list[T], values)


def summed(fabric: Fabric, *values: float) -> list[float]:
    """The sum of each value over all processes, in float64."""
    if fabric.world_size == 1:
        return list(values)
    reduced = fabric.all_reduce(torch.tensor(values, dtype=torch.float64), reduce_op="sum")
    return cast(torch.Tensor, reduced).tolist()


class ProcessShare:
    """The share that one of `world` processes reads of a source; all shares together hold every item once.

    A server has to answer: a run would end elsewhere if its figures were those of the images that came.
    """

    def __init__(self, source: Source, rank: int, world: int) -> None:
        self.name = source.name
        self.classes = source.classes
        self._source = source
        self._indices = share(np.arange(len(source)), rank, world)

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: int, /) -> Item:
        return insisting(self._source[int(self._indices[index])])

    def __iter__(self) -> Iterator[Item]:
        return (self[index] for index in range(len(self)))
