"""Optimisers, the rates of their parameter groups, and the moving average of the weights."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from itertools import chain
from math import sqrt
from typing import Any, cast

import msgspec
import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from xception.models.network import Xception
from xception.train.settings import AverageSettings, OptimSettings, ScheduleSettings

EPSILON, RMSPROP_EPSILON = 1e-8, 1e-10

Groups = list[dict[str, Any]]
"""Parameter groups of torch with their own `weight_decay`, `lr_scale` and `orthogonal`."""


class RMSprop(Optimizer):
    """RMSprop as TensorFlow computes it, which the paper used.

    The mean square starts at 1, and epsilon is added to it before the root is taken. torch's own RMSprop starts at 0
    and adds epsilon to the root.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], *, lr: float, rho: float, momentum: float, eps: float) -> None:
        super().__init__(groups, {"lr": lr, "rho": rho, "momentum": momentum, "eps": eps, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        loss = _evaluate(closure)
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            if parameters:
                self._update(parameters, group)
        return loss

    def _update(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        plain = [parameter.grad for parameter in parameters if parameter.grad is not None]
        gradients = torch._foreach_add(plain, parameters, alpha=group["weight_decay"])
        averages, velocities = zip(*map(self._slots, parameters), strict=True)
        torch._foreach_lerp_(averages, torch._foreach_mul(gradients, gradients), 1 - group["rho"])
        roots = torch._foreach_sqrt(torch._foreach_add(averages, group["eps"]))
        torch._foreach_mul_(velocities, group["momentum"])
        torch._foreach_addcdiv_(velocities, gradients, roots, value=group["lr"])
        torch._foreach_sub_(parameters, velocities)

    def _slots(self, parameter: Tensor) -> tuple[Tensor, Tensor]:
        slots = self.state[parameter]
        if not slots:
            slots["square_average"] = torch.ones_like(parameter)
            slots["momentum_buffer"] = torch.zeros_like(parameter)
        return slots["square_average"], slots["momentum_buffer"]


class Muon(AdamW):
    """Muon (Jordan et al. 2024) for groups that say `orthogonal`, AdamW for the others, with one rate for both.

    An orthogonal group's kernels (O, I, H, W) move as matrices (O, I x H x W): Nesterov's sum of their gradients is
    made nearly orthogonal, so that no direction of the input is learnt faster than others, and scaled to the size of
    an AdamW step (Liu et al. 2025, arXiv 2502.16982).
    """

    def __init__(
        self,
        groups: Iterable[dict[str, Any]],
        *,
        lr: float,
        momentum: float,
        betas: tuple[float, float],
        eps: float,
        fused: bool | None = None,
    ) -> None:
        super().__init__(groups, lr=lr, betas=betas, eps=eps, fused=fused)
        self.momentum = momentum

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        loss = _evaluate(closure)
        for group in self.param_groups:
            if group["orthogonal"]:
                for kernels in _of_equal_shape(group["params"]):
                    self._update(kernels, group)
        super().step()
        return loss

    def _update(self, kernels: list[Tensor], group: dict[str, Any]) -> None:
        """Move kernels of one shape together, and take their gradients away, without which AdamW passes over them."""
        gradients = [kernel.grad for kernel in kernels if kernel.grad is not None]
        velocities = [self._velocity(kernel) for kernel in kernels]
        torch._foreach_mul_(velocities, self.momentum)
        torch._foreach_add_(velocities, gradients)
        ahead = torch._foreach_add(gradients, velocities, alpha=self.momentum)
        moves = orthogonalize(torch.stack([each.flatten(1) for each in ahead]))
        size_of_adamw = 0.2 * sqrt(max(moves.shape[1:]))
        torch._foreach_mul_(kernels, 1 - group["lr"] * group["weight_decay"])
        torch._foreach_add_(
            kernels,
            [move.view_as(kernel) for move, kernel in zip(moves, kernels, strict=True)],
            alpha=-group["lr"] * size_of_adamw,
        )
        for kernel in kernels:
            kernel.grad = None

    def _velocity(self, kernel: Tensor) -> Tensor:
        slots = self.state[kernel]
        if not slots:
            slots["momentum_buffer"] = torch.zeros_like(kernel)
        return cast(Tensor, slots["momentum_buffer"])


def _of_equal_shape(parameters: Iterable[Tensor]) -> list[list[Tensor]]:
    """The parameters that have a gradient, in groups of one shape."""
    groups: dict[torch.Size, list[Tensor]] = defaultdict(list)
    for parameter in parameters:
        if parameter.grad is not None:
            groups[parameter.shape].append(parameter)
    return list(groups.values())


def _evaluate(closure: Callable[[], float] | None) -> float | None:
    """Call the closure of a step, which may compute gradients, and return its loss."""
    with torch.enable_grad():
        return closure() if closure else None


def orthogonalize(matrices: Tensor) -> Tensor:
    """Matrices (B, M, N) with all their singular values brought to between 0.5 and 1.5, in bfloat16's accuracy.

    Five steps of the Newton-Schulz iteration with Jordan's coefficients.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    is_wide = matrices.shape[1] <= matrices.shape[2]
    x = (matrices if is_wide else matrices.mT).bfloat16()
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(5):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x if is_wide else x.mT).to(matrices.dtype)


OPTIMIZERS: dict[str, Callable[[Groups, OptimSettings, bool | None], Optimizer]] = {
    "sgd": lambda groups, s, fused: SGD(groups, lr=s.lr, momentum=s.momentum, nesterov=s.nesterov, fused=fused),
    "rmsprop": lambda groups, s, _: RMSprop(
        groups, lr=s.lr, rho=s.rho, momentum=s.momentum, eps=s.epsilon or RMSPROP_EPSILON
    ),
    "adam": lambda groups, s, fused: Adam(groups, lr=s.lr, betas=s.betas, eps=s.epsilon or EPSILON, fused=fused),
    "adamw": lambda groups, s, fused: AdamW(groups, lr=s.lr, betas=s.betas, eps=s.epsilon or EPSILON, fused=fused),
    "muon": lambda groups, s, fused: Muon(
        groups, lr=s.lr, momentum=s.momentum, betas=s.betas, eps=s.epsilon or EPSILON, fused=fused
    ),
}
"""Factory of each `optim.name`; with `fused`, one kernel of the device updates many tensors, where torch has one."""


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
