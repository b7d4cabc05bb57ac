"""Each source's own initial weights (facts: the sources' model files; see docs/explanation/variants.md)."""

from collections.abc import Callable
from math import sqrt

from torch import nn

from xception.arch.spec import Initialization

InitRule = Callable[[nn.Module], None]


def initialize(network: nn.Module, rule: Initialization) -> None:
    """Set convolution and linear weights by the named rule; norms start at weight 1, bias 0 as everywhere."""
    network.apply(INIT_RULES[rule])


def _torch(module: nn.Module) -> None:
    """torch's own: uniform within 1 / sqrt(fan_in), which the layers did when they were made."""


def _kaiming_fan_out(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def _keras(module: nn.Module) -> None:
    """Glorot uniform. Keras counts a depthwise kernel's fans as 9 x C in and 9 out."""
    if isinstance(module, nn.Conv2d) and module.groups > 1:
        area = module.kernel_size[0] * module.kernel_size[1]
        bound = sqrt(6 / (area * module.in_channels + area))
        nn.init.uniform_(module.weight, -bound, bound)
    elif isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.xavier_uniform_(module.weight)
    _zero_bias(module)


def _mindcv(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.xavier_uniform_(module.weight)
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.01)
    _zero_bias(module)


def _mindspore_zoo(module: nn.Module) -> None:
    """Xavier for convolutions; the linear layer keeps He uniform with slope sqrt(5), torch's default too."""
    if isinstance(module, nn.Conv2d):
        nn.init.xavier_uniform_(module.weight)


def _paddle(module: nn.Module) -> None:
    """Normal with the fan-in of all input channels, for depthwise kernels too."""
    if isinstance(module, nn.Conv2d):
        fan_in = module.kernel_size[0] * module.kernel_size[1] * module.in_channels
        nn.init.normal_(module.weight, std=sqrt(2 / fan_in))
    if isinstance(module, nn.Linear):
        bound = 1 / sqrt(module.in_features)
        nn.init.uniform_(module.weight, -bound, bound)
    _zero_bias(module)


def _paddle_deeplab(module: nn.Module) -> None:
    _paddle(module)
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)


def _zero_bias(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)


INIT_RULES: dict[Initialization, InitRule] = {
    "torch": _torch,
    "kaiming_fan_out": _kaiming_fan_out,
    "keras": _keras,
    "mindcv": _mindcv,
    "mindspore_zoo": _mindspore_zoo,
    "paddle": _paddle,
    "paddle_deeplab": _paddle_deeplab,
}
