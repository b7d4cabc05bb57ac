"""timm 1.0, in the environment `timm.txt`."""

from argparse import Namespace

from parity.command import Network, main
from parity.torch_network import TorchNetwork, declare_torchvision_operators

UPSTREAM_NAMES = {"timm_xception": "legacy_xception"}


def build(arguments: Namespace) -> Network:
    declare_torchvision_operators()
    import timm

    name = UPSTREAM_NAMES.get(arguments.variant, arguments.variant.removeprefix("timm_"))
    stride = {} if arguments.output_stride == 32 else {"output_stride": arguments.output_stride}
    return TorchNetwork(timm.create_model(name, **stride), arguments.dtype, "timm")


if __name__ == "__main__":
    main(build)
