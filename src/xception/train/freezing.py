"""Which parts of a network learn in an epoch: the rest computes as it will when it is used."""

from collections.abc import Iterator

from torch import nn

from xception.models.network import Xception
from xception.train.settings import FreezeSettings


def set_learning(network: Xception, settings: FreezeSettings, epoch: int) -> None:
    """Put the network in training mode as epoch `epoch`, counted from 0, has it.

    A part that does not learn yet neither drops anything at random nor looks at its batch's statistics, so that it is
    the very function that was trained before.
    """
    network.train()
    for part, starts in _parts(network, settings):
        learns = epoch >= starts
        part.requires_grad_(learns)
        part.train(learns)
    if settings.norm_statistics:
        for module in network.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()


def _parts(network: Xception, settings: FreezeSettings) -> Iterator[tuple[nn.Module, int]]:
    """Every part of the network with the epoch from which it learns."""
    starts = {"entry": settings.entry_until, "middle": settings.middle_until, "exit": settings.exit_until}
    yield network.stem, starts["entry"]
    for block, spec in zip(network.blocks, network.spec.blocks, strict=True):
        yield block, starts[spec.flow]
    yield network.head, 0
