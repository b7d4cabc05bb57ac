"""tstandley's Xception-PyTorch, from a checkout, in the environment `timm.txt`."""

from argparse import Namespace

from parity.checkout import load_file
from parity.command import Network, main
from parity.torch_network import TorchNetwork


def build(arguments: Namespace) -> Network:
    module = load_file("tstandley_xception", arguments.checkout / "xception.py")
    return TorchNetwork(module.Xception(num_classes=arguments.num_classes), arguments.dtype)


if __name__ == "__main__":
    main(build)
