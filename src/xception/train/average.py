"""A moving average of the weights, which is judged and published in their place."""

from copy import deepcopy

import torch

from xception.models.network import Xception
from xception.train.settings import AverageSettings


def averaged(network: Xception) -> Xception:
    """The average before the first step: a copy of the network that is not trained itself."""
    return deepcopy(network).requires_grad_(False)


def share_kept(settings: AverageSettings, step: int) -> float:
    """How much of the average step `step`, counted from 0, keeps.

    With warm-up it is TensorFlow's (1 + step) / (10 + step) until that exceeds the decay: the first weights, which
    are random, would otherwise be remembered for long.
    """
    return min(settings.decay, (1 + step) / (10 + step)) if settings.warmup else settings.decay


@torch.no_grad()
def update(average: Xception, network: Xception, settings: AverageSettings, step: int) -> None:
    """Move the average towards the network as step `step` left it; batch statistics are averaged too."""
    kept = share_kept(settings, step)
    current = network.state_dict()
    for name, value in average.state_dict().items():
        if value.is_floating_point():
            value.lerp_(current[name], 1 - kept)
        else:
            value.copy_(current[name])
