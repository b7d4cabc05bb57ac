"""The common part of all sources' scripts: arguments, seeded weights, and the file that they write."""

import argparse
import json
import platform
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import numpy as np

from parity import seeded


class Network(Protocol):
    """A source's own network, built at full width."""

    @property
    def versions(self) -> dict[str, str]:
        """Packages and their versions."""

    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Shapes of learned tensors and batch statistics by the source's names."""

    def fan_in(self, name: str, shape: tuple[int, ...]) -> int:
        """Inputs of one output number of a kernel."""

    def fill(self, values: Mapping[str, np.ndarray]) -> None:
        """Take over all of them."""

    def save(self, folder: Path) -> None:
        """Write the source's own kinds of checkpoint into a folder."""

    def logits(self, pixels: np.ndarray) -> np.ndarray:
        """Images (N, C, H, W) to logits (N, K), in inference mode."""

    def train_step(self, pixels: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
        """The loss of one batch in training mode, all gradients, and the batch statistics after it."""


def main(build: Callable[[argparse.Namespace], Network]) -> None:
    arguments = _arguments()
    network = build(arguments)
    shapes = network.tensors()
    if arguments.dump_names:
        for name, shape in shapes.items():
            print(name, *shape)
        return
    fill(network)
    if arguments.save:
        network.save(arguments.save)
    results = {f"logits/{px}": network.logits(_pixels(arguments, px)) for px in arguments.px}
    if arguments.train:
        px = arguments.train
        labels = seeded.labels(px, arguments.num_classes, batch=4)
        results |= network.train_step(seeded.pixels(px, batch=4), labels)
    description = {"versions": {**network.versions, "numpy": np.__version__, "python": platform.python_version()}}
    np.savez(arguments.out, description=json.dumps(description), **results)  # type: ignore[arg-type]


def fill(network: Network) -> None:
    """Give a network the seeded weights."""
    network.fill({name: _draw(network, name, shape) for name, shape in network.tensors().items()})


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--variant", required=True)
    parser.add_argument("--checkout", type=Path, help="folder with the source's repository, where it is no package")
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float64")
    parser.add_argument("--px", type=int, nargs="+", default=[])
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--channels", type=int, default=3)
    parser.add_argument("--num-classes", type=int, default=1000)
    parser.add_argument("--output-stride", type=int, default=32)
    parser.add_argument("--stackwise", type=json.loads, metavar="JSON", help="widths by block, where it builds others")
    parser.add_argument("--model-args", type=json.loads, metavar="JSON", help="timm's arguments of the network")
    parser.add_argument("--train", type=int, default=0, metavar="PX", help="also one training step at this size")
    parser.add_argument("--save", type=Path, metavar="FOLDER", help="also write checkpoints as the source does")
    parser.add_argument("--dump-names", action="store_true", help="print names and shapes of all tensors and stop")
    parser.add_argument("--out", type=Path, help="the .npz file to write")
    return parser.parse_args()


def _draw(network: Network, name: str, shape: tuple[int, ...]) -> np.ndarray:
    return seeded.tensor(name, shape, seeded.kind_of(name, shape), network.fan_in(name, shape))


def _pixels(arguments: argparse.Namespace, px: int) -> np.ndarray:
    return seeded.pixels(px, arguments.channels, arguments.batch)
