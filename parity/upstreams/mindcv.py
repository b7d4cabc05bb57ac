"""MindCV, in the environment `mindspore.txt`."""

from argparse import Namespace

import mindcv
import mindspore

from parity.command import Network, main
from parity.mindspore_network import MindSporeNetwork


def build(arguments: Namespace) -> Network:
    mindspore.set_context(mode=mindspore.GRAPH_MODE)
    cell = mindcv.create_model("xception", num_classes=arguments.num_classes)
    return MindSporeNetwork(cell, {"mindcv": mindcv.__version__})


if __name__ == "__main__":
    main(build)
