"""The moving average of the weights."""

from collections.abc import Iterator
from copy import deepcopy
from itertools import chain

import torch
from torch import Tensor

from xception.models.network import Xception
from xception.train.settings import AverageSettings


def copy_as_average(network: Xception) -> Xception:
    """The average before the first step: a copy of the network that is not trained itself."""
    return deepcopy(network).requires_grad_(False)


def average_decay(settings: AverageSettings, step: int) -> float:
    """Share of the average that step `step`, counted from 0, keeps.

    With warm-up it is TensorFlow's (1 + step) / (10 + step) until that exceeds the decay, since the random first
    weights would otherwise be remembered for long.
    """
    return min(settings.decay, (1 + step) / (10 + step)) if settings.warmup else settings.decay


@torch.no_grad()
def update_average(average: Xception, network: Xception, settings: AverageSettings, step: int) -> None:
    """Move the average towards the network after step `step`; batch statistics are averaged too."""
    kept = average_decay(settings, step)
    floating: tuple[list[Tensor], list[Tensor]] = ([], [])
    for value, current in zip(_tensors(average), _tensors(network), strict=True):
        if value.is_floating_point():
            floating[0].append(value)
            floating[1].append(current)
        else:
            value.copy_(current)
    torch._foreach_lerp_(*floating, 1 - kept)


def _tensors(network: Xception) -> Iterator[Tensor]:
    return chain(network.parameters(), network.buffers())
