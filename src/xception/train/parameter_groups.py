"""Parameter groups of a network: which of its tensors decay, and at which share of the rate each of them learns."""

from collections import defaultdict
from collections.abc import Callable

import msgspec
from torch import Tensor, nn
from torch.optim import Optimizer

from xception.models.network import Xception
from xception.train.optimizers import OPTIMIZERS, Groups
from xception.train.settings import OptimSettings, ScheduleSettings


def make_optimizer(
    network: Xception,
    settings: OptimSettings,
    own: Callable[[Groups], Optimizer] | None = None,
    device: str = "cpu",
) -> Optimizer:
    """The configured optimiser of a network, or the one that `own` makes of its parameter groups.

    The groups hold `lr_scale`, which `set_rate` multiplies the rate by. The network is to be moved to `device`.
    """
    groups = _groups(network, settings)
    # On a CPU the fused updates round in another way, and gain nothing.
    return own(groups) if own else OPTIMIZERS[settings.name](groups, settings, True if device == "cuda" else None)


def peak_rate(settings: OptimSettings, batch_size: int) -> float:
    """The peak rate for steps of `batch_size` images over all processes, scaled in proportion to `lr_per` if set."""
    return settings.lr * batch_size / settings.lr_per if settings.lr_per else settings.lr


def scaled(schedule: ScheduleSettings, settings: OptimSettings, batch_size: int) -> ScheduleSettings:
    """The schedule whose own rates are scaled as the peak rate is, so that it still falls to its end."""
    factor = peak_rate(settings, batch_size) / settings.lr
    start = None if schedule.warmup_from is None else schedule.warmup_from * factor
    return msgspec.structs.replace(schedule, end_lr=schedule.end_lr * factor, warmup_from=start)


def scaling_remark(settings: OptimSettings, batch_size: int) -> str | None:
    """A sentence on the peak rate, if it is not `lr` itself."""
    if settings.lr_per in (None, batch_size):
        return None
    return (
        f"optim.lr {settings.lr:g} is for steps of {settings.lr_per} images; with {batch_size} the peak rate is "
        f"{peak_rate(settings, batch_size):g}"
    )


def set_rate(optimizer: Optimizer, lr: float) -> None:
    """Set the rate of every group to its share of `lr`."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["lr_scale"]


def _groups(network: Xception, settings: OptimSettings) -> Groups:
    """Parameters grouped by weight decay, by share of the rate, and by Muon's treatment as matrices."""
    groups: dict[tuple[bool, float, bool], list[nn.Parameter]] = defaultdict(list)
    for name, parameter in network.named_parameters():
        kind = _decays(name, parameter, settings), _scale(network, name, settings), _mixes_channels(name, parameter)
        groups[kind].append(parameter)
    return [
        {
            "params": parameters,
            "weight_decay": settings.weight_decay if decays else 0.0,
            "lr_scale": scale,
            "orthogonal": mixes,
        }
        for (decays, scale, mixes), parameters in groups.items()
    ]


def _mixes_channels(name: str, parameter: Tensor) -> bool:
    """True for the kernel of a hidden layer with more than one channel per filter."""
    return parameter.ndim > 1 and parameter.shape[1] > 1 and not name.startswith("head.")


def _scale(network: Xception, name: str, settings: OptimSettings) -> float:
    below_head = len(network.blocks) + 1 - depth(network, name)
    return settings.layer_decay**below_head * (1.0 if below_head else settings.head_scale)


def depth(network: Xception, name: str) -> int:
    """Distance of a tensor from the input: 0 in the stem, then the number of its block, last the head."""
    part, number, *_ = name.split(".")
    if part == "stem":
        return 0
    return int(number) + 1 if part == "blocks" else len(network.blocks) + 1


def _decays(name: str, parameter: Tensor, settings: OptimSettings) -> bool:
    is_kernel = parameter.ndim > 1
    match settings.decay_on:
        case "kernels":
            return is_kernel
        case "all_but_norms":
            return ".norm." not in name
        case "all":
            return True
        case "stem":
            return is_kernel and name.startswith("stem.")
