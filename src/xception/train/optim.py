"""Optimisers, the rates of their parameter groups, and the moving average of the weights."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from math import sqrt
from typing import Any

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
        for parameter, gradient, group in _with_gradients(self.param_groups):
            self._update(parameter, gradient, group)
        return loss

    def _update(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        slots = self.state[parameter]
        if not slots:
            slots["square_average"] = torch.ones_like(parameter)
            slots["momentum_buffer"] = torch.zeros_like(parameter)
        gradient = gradient.add(parameter, alpha=group["weight_decay"])
        average, velocity = slots["square_average"], slots["momentum_buffer"]
        average.lerp_(gradient.square(), 1 - group["rho"])
        velocity.mul_(group["momentum"]).addcdiv_(gradient, (average + group["eps"]).sqrt_(), value=group["lr"])
        parameter.sub_(velocity)


class Muon(AdamW):
    """Muon (Jordan et al. 2024) for groups that say `orthogonal`, AdamW for the others, with one rate for both.

    An orthogonal group's kernels (O, I, H, W) move as matrices (O, I x H x W): Nesterov's sum of their gradients is
    made nearly orthogonal, so that no direction of the input is learnt faster than others, and scaled to the size of
    an AdamW step (Liu et al. 2025, arXiv 2502.16982).
    """

    def __init__(
        self, groups: Iterable[dict[str, Any]], *, lr: float, momentum: float, betas: tuple[float, float], eps: float
    ) -> None:
        super().__init__(groups, lr=lr, betas=betas, eps=eps)
        self.momentum = momentum

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        loss = _evaluate(closure)
        for kernel, gradient, group in _with_gradients(group for group in self.param_groups if group["orthogonal"]):
            self._update(kernel, gradient, group)
            # AdamW passes over what has no gradient.
            kernel.grad = None
        super().step()
        return loss

    def _update(self, kernel: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        slots = self.state[kernel]
        if not slots:
            slots["momentum_buffer"] = torch.zeros_like(kernel)
        velocity = slots["momentum_buffer"].mul_(self.momentum).add_(gradient)
        matrix = gradient.add(velocity, alpha=self.momentum).flatten(1)
        size_of_adamw = 0.2 * sqrt(max(matrix.shape))
        kernel.mul_(1 - group["lr"] * group["weight_decay"])
        kernel.add_(orthogonalize(matrix).view_as(kernel), alpha=-group["lr"] * size_of_adamw)


def _evaluate(closure: Callable[[], float] | None) -> float | None:
    """Call the closure of a step, which may compute gradients, and return its loss."""
    with torch.enable_grad():
        return closure() if closure else None


def _with_gradients(groups: Iterable[dict[str, Any]]) -> Iterator[tuple[Tensor, Tensor, dict[str, Any]]]:
    """Every parameter that has a gradient, with its gradient and its group."""
    for group in groups:
        for parameter in group["params"]:
            if parameter.grad is not None:
                yield parameter, parameter.grad, group


def orthogonalize(matrix: Tensor) -> Tensor:
    """The matrix (M, N) with all its singular values brought to between 0.5 and 1.5, in bfloat16's accuracy.

    Five steps of the Newton-Schulz iteration with Jordan's coefficients.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    x = wide.bfloat16()
    x = x / x.norm().clamp(min=1e-7)
    for _ in range(5):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x if wide is matrix else x.T).to(matrix.dtype)


OPTIMIZERS: dict[str, Callable[[Groups, OptimSettings], Optimizer]] = {
    "sgd": lambda groups, s: SGD(groups, lr=s.lr, momentum=s.momentum, nesterov=s.nesterov),
    "rmsprop": lambda groups, s: RMSprop(
        groups, lr=s.lr, rho=s.rho, momentum=s.momentum, eps=s.epsilon or RMSPROP_EPSILON
    ),
    "adam": lambda groups, s: Adam(groups, lr=s.lr, betas=s.betas, eps=s.epsilon or EPSILON),
    "adamw": lambda groups, s: AdamW(groups, lr=s.lr, betas=s.betas, eps=s.epsilon or EPSILON),
    "muon": lambda groups, s: Muon(groups, lr=s.lr, momentum=s.momentum, betas=s.betas, eps=s.epsilon or EPSILON),
}
"""Factory of each `optim.name`."""


def make_optimizer(
    network: Xception, settings: OptimSettings, own: Callable[[Groups], Optimizer] | None = None
) -> Optimizer:
    """The configured optimiser of a network, or the one that `own` makes of its parameter groups.

    The groups hold `lr_scale`, which `set_rate` multiplies the rate by.
    """
    groups = _groups(network, settings)
    return own(groups) if own else OPTIMIZERS[settings.name](groups, settings)


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
    current = network.state_dict()
    for name, value in average.state_dict().items():
        if value.is_floating_point():
            value.lerp_(current[name], 1 - kept)
        else:
            value.copy_(current[name])
