"""Optimisers over the network's parameters."""

from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from xception.train.recipe import OptimSettings


def optimizer(network: nn.Module, settings: OptimSettings) -> Optimizer:
    """The configured optimiser; kernels decay, norms and biases do not."""
    kernels = [parameter for parameter in network.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in network.parameters() if parameter.ndim <= 1]
    groups = [{"params": kernels, "weight_decay": settings.weight_decay}, {"params": others, "weight_decay": 0.0}]
    if settings.name == "adamw":
        return AdamW(groups, lr=settings.lr)
    return SGD(groups, lr=settings.lr, momentum=settings.momentum)
