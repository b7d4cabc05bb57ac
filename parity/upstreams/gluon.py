"""timm 0.6.5, the last to have Gluon's network, in the environment `gluon.txt`."""

from argparse import Namespace

from parity.command import Network, main
from parity.torch_network import TorchNetwork, declare_torchvision_operators


def build(arguments: Namespace) -> Network:
    declare_torchvision_operators()
    import timm

    module = timm.create_model(arguments.variant, output_stride=arguments.output_stride)
    return TorchNetwork(module, arguments.dtype, "timm")


if __name__ == "__main__":
    main(build)
