"""The optimisers: a table of those of torch and of two that it lacks, by their names in a recipe."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from math import sqrt
from typing import Any, cast

import torch
from torch import Tensor
from torch.optim import SGD, Adam, AdamW, Optimizer

from xception.train.settings import OptimSettings

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
