"""Optimisers over the network's parameters, and the rates of their groups."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from math import sqrt
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from xception.models.network import Xception
from xception.train.settings import OptimSettings

EPSILON, RMSPROP_EPSILON = 1e-8, 1e-10


class RMSprop(Optimizer):
    """RMSprop as TensorFlow computes it, which the paper used: the mean square starts at 1, and epsilon is added
    to it before the root is taken. torch's own starts at 0 and adds epsilon to the root."""

    def __init__(self, groups: Iterable[dict[str, Any]], *, lr: float, rho: float, momentum: float, eps: float) -> None:
        super().__init__(groups, {"lr": lr, "rho": rho, "momentum": momentum, "eps": eps, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Change every parameter that has a gradient."""
        loss = _evaluated(closure)
        for parameter, gradient, group in _due(self.param_groups):
            self._change(parameter, gradient, group)
        return loss

    def _change(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
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
        """Change every parameter that has a gradient."""
        loss = _evaluated(closure)
        for kernel, gradient, group in _due(group for group in self.param_groups if group["orthogonal"]):
            self._change(kernel, gradient, group)
            # AdamW passes over what has no gradient.
            kernel.grad = None
        super().step()
        return loss

    def _change(self, kernel: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        slots = self.state[kernel]
        if not slots:
            slots["momentum_buffer"] = torch.zeros_like(kernel)
        velocity = slots["momentum_buffer"].mul_(self.momentum).add_(gradient)
        matrix = gradient.add(velocity, alpha=self.momentum).flatten(1)
        size_of_adamw = 0.2 * sqrt(max(matrix.shape))
        kernel.mul_(1 - group["lr"] * group["weight_decay"])
        kernel.add_(orthogonalised(matrix).view_as(kernel), alpha=-group["lr"] * size_of_adamw)


def _evaluated(closure: Callable[[], float] | None) -> float | None:
    """What the closure of a step returns, which may compute gradients."""
    with torch.enable_grad():
        return closure() if closure else None


def _due(groups: Iterable[dict[str, Any]]) -> Iterator[tuple[Tensor, Tensor, dict[str, Any]]]:
    """Every parameter that has a gradient, with that and its group."""
    for group in groups:
        for parameter in group["params"]:
            if parameter.grad is not None:
                yield parameter, parameter.grad, group


def orthogonalised(matrix: Tensor) -> Tensor:
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


def optimizer(network: Xception, settings: OptimSettings) -> Optimizer:
    """The configured optimiser. Its groups hold `lr_scale`, by which `set_rate` multiplies."""
    groups = _groups(network, settings)
    lr, momentum, betas = settings.lr, settings.momentum, settings.betas
    match settings.name:
        case "sgd":
            return SGD(groups, lr=lr, momentum=momentum, nesterov=settings.nesterov)
        case "rmsprop":
            return RMSprop(groups, lr=lr, rho=settings.rho, momentum=momentum, eps=settings.epsilon or RMSPROP_EPSILON)
        case "adam":
            return Adam(groups, lr=lr, betas=betas, eps=settings.epsilon or EPSILON)
        case "adamw":
            return AdamW(groups, lr=lr, betas=betas, eps=settings.epsilon or EPSILON)
        case "muon":
            return Muon(groups, lr=lr, momentum=momentum, betas=betas, eps=settings.epsilon or EPSILON)


def peak_rate(settings: OptimSettings, batch_size: int) -> float:
    """The peak rate for steps of `batch_size` images, over all processes: in proportion, where `lr_per` says so."""
    return settings.lr * batch_size / settings.lr_per if settings.lr_per else settings.lr


def scaling_remark(settings: OptimSettings, batch_size: int) -> str | None:
    """What a person should know of a peak rate that is not `lr` itself."""
    if settings.lr_per in (None, batch_size):
        return None
    return (
        f"optim.lr {settings.lr:g} is for steps of {settings.lr_per} images; with {batch_size} the peak rate is "
        f"{peak_rate(settings, batch_size):g}"
    )


def set_rate(optimizer: Optimizer, lr: float) -> None:
    """Give every group its share of the rate."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["lr_scale"]


def _groups(network: Xception, settings: OptimSettings) -> list[dict[str, Any]]:
    """Parameters by whether they decay, by their share of the rate and by whether Muon takes them for matrices."""
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
    """Whether it is the kernel of a hidden layer with more than one channel to a filter."""
    return parameter.ndim > 1 and parameter.shape[1] > 1 and not name.startswith("head.")


def _scale(network: Xception, name: str, settings: OptimSettings) -> float:
    below_head = len(network.blocks) + 1 - depth(network, name)
    return settings.layer_decay**below_head * (1.0 if below_head else settings.head_scale)


def depth(network: Xception, name: str) -> int:
    """How far from the input a tensor lies: 0 in the stem, then its block's number, last the head."""
    part, number, *_ = name.split(".")
    if part == "stem":
        return 0
    return int(number) + 1 if part == "blocks" else len(network.blocks) + 1


def _decays(name: str, parameter: Tensor, settings: OptimSettings) -> bool:
    is_kernel = parameter.ndim > 1
    match settings.decay_on:
        case "kernels":
            return is_kernel
        case "all":
            return True
        case "stem":
            return is_kernel and name.startswith("stem.")
