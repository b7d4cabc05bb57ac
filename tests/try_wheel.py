"""A try of an installed wheel, without any optional package: `make wheel` runs it in an environment of its own."""

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

import xception
from xception.arch.compute import tensors
from xception.arch.variants import architecture
from xception.bundle import Model, Network, write_bundle
from xception.cli.app import COMMANDS
from xception.labels import Labels
from xception.preprocess import Preprocess, Squash
from xception.weights import weights_bytes

NETWORK = Network(variant="mini_xception", num_classes=2, in_channels=1)
PREPROCESS = Preprocess(color="gray", resize=Squash(width_px=48, height_px=48), mean=(0.5,), std=(0.5,))


def main() -> None:
    """List the variants, show the help of every verb, write and describe a bundle, and be told in one sentence what
    predicting needs."""
    if Path(xception.__file__).is_relative_to(Path(__file__).parents[1] / "src"):
        sys.exit("the package comes from the source tree; expected the installed wheel")
    listed = json.loads(_run("list", "--json").stdout)
    for verb in COMMANDS:
        _run(*verb.split(), "--help")
    with TemporaryDirectory() as folder:
        zeros = {
            name: np.zeros(shape, np.float32)
            for name, shape in tensors(architecture("mini_xception", num_classes=2)).items()
        }
        model = Model(name="zeros", network=NETWORK, form="weights", precision="float32", preprocess=PREPROCESS)
        write_bundle(
            Path(folder, "bundle"), model, Labels(("no", "yes")), {"weights.safetensors": weights_bytes(zeros)}
        )
        told = json.loads(_run("info", f"{folder}/bundle", "--json").stdout)
        refused = _run("predict", f"{folder}/bundle", folder, code=3).stderr
    if told["network"]["variant"] != "mini_xception" or "pip install" not in refused:
        sys.exit(f"unexpected: {told}, {refused}")
    print(f"xception {xception.__version__} on Python {sys.version.split()[0]}: {len(listed['variants'])} variants")


def _run(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "xception", *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != code:
        sys.exit(f"{' '.join(command)} ended with {result.returncode}: {result.stderr}")
    return result


if __name__ == "__main__":
    main()
