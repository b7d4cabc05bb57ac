"""MindSpore's repository of models, from a checkout, in the environment `mindspore.txt`."""

from argparse import Namespace

import mindspore

from parity.checkout import load_file
from parity.command import Network, main
from parity.mindspore_network import MindSporeNetwork

FILE = "official/cv/Inception/xception/src/Xception.py"


def build(arguments: Namespace) -> Network:
    mindspore.set_context(mode=mindspore.GRAPH_MODE)
    module = load_file("mindspore_zoo_xception", arguments.checkout / FILE)
    return MindSporeNetwork(module.xception(arguments.num_classes), {})


if __name__ == "__main__":
    main(build)
