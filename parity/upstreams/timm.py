"""timm 1.0, in the environment `timm.txt`."""

from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from parity.command import Network, main
from parity.torch_network import TorchNetwork, declare_torchvision_operators

UPSTREAM_NAMES = {"timm_xception": "legacy_xception"}


class Timm(TorchNetwork):
    def __init__(self, module: torch.nn.Module, dtype: str, model_args: Mapping[str, Any]) -> None:
        super().__init__(module, dtype, "timm")
        self.model_args = model_args

    def save(self, folder: Path) -> None:
        from timm.models import save_for_hf

        super().save(folder)
        if self.model_args:
            save_for_hf(self.module, folder / "folder", model_args=dict(self.model_args))


def build(arguments: Namespace) -> Network:
    declare_torchvision_operators()
    import timm

    name = UPSTREAM_NAMES.get(arguments.variant, arguments.variant.removeprefix("timm_"))
    stride = {} if arguments.output_stride == 32 else {"output_stride": arguments.output_stride}
    model_args = arguments.model_args or {}
    return Timm(timm.create_model(name, **stride, **model_args), arguments.dtype, model_args)


if __name__ == "__main__":
    main(build)
