"""Compare every network here with its sources' own code: `python -m parity.run --help`.

Each source runs in a process and an environment of its own, on the tensors and images of `parity.seeded`, and
leaves its numbers in a file; the network here, run by this interpreter, has to repeat them.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from parity import goldens, report, seeded
from parity.cases import CASES, Case
from parity.environments import python_of
from parity.ours import logits, relative_difference, seeded_tensors, source_of
from parity.torch_network import TorchNetwork
from xception.arch.variants import architecture
from xception.models.network import build

ROOT = Path(__file__).parent.parent
TRAIN_PX, TRAIN_BATCH = 97, 4
FINER_PX = 161
LIMITS = {"float32": 1e-5, "float64": 1e-9}
"""float32 differs by less than 1e-6 in networks of this depth, and the smallest fault, a wrong epsilon, by more than
1e-3. float64 leaves room for Paddle, which keeps epsilon in float32."""
NOISE = 1e-9
"""Gradients this much smaller than the network's largest are zero by theory (an offset in front of a norm), so that
only rounding remains to be compared."""


@dataclass(kw_only=True)
class Comparison:
    """Relative differences of one case: by type and image size, by output stride, and of a training step."""

    case: Case
    versions: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, dict[int, float]] = field(default_factory=dict)
    strides: dict[int, float] = field(default_factory=dict)
    training: dict[str, float] = field(default_factory=dict)
    problem: str = ""

    @property
    def passed(self) -> bool:
        differences = [(dtype, value) for dtype, sizes in self.sizes.items() for value in sizes.values()]
        differences += [("float64", value) for value in (*self.strides.values(), *self.training.values())]
        return bool(differences) and not self.problem and all(value <= LIMITS[dtype] for dtype, value in differences)


def main() -> int:
    arguments = _arguments()
    comparisons = []
    for case in CASES:
        if arguments.only and case.upstream.script not in arguments.only:
            continue
        comparison = _compared(case, arguments)
        print(report.line(comparison), file=sys.stderr, flush=True)
        comparisons.append(comparison)
    if not arguments.only:
        report.write(comparisons)
    return 0 if all(comparison.passed for comparison in comparisons) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m parity.run", description=__doc__)
    for checkout in sorted({case.upstream.checkout for case in CASES if case.upstream.checkout}):
        parser.add_argument(f"--{checkout}", type=Path, metavar="DIR", help="a checkout of that repository")
    parser.add_argument("--only", nargs="+", metavar="SCRIPT", help="only these of parity/upstreams; writes no table")
    parser.add_argument("--environments", type=Path, default=ROOT / ".parity", metavar="DIR")
    parser.add_argument("--goldens", action="store_true", help="also write the logits that the tests compare with")
    return parser.parse_args()


def _compared(case: Case, arguments: argparse.Namespace) -> Comparison:
    comparison = Comparison(case=case)
    checkout = None
    if case.upstream.checkout:
        checkout = getattr(arguments, case.upstream.checkout.replace("-", "_"))
        if checkout is None:
            comparison.problem = f"not run: --{case.upstream.checkout} was not given"
            return comparison
    try:
        with tempfile.TemporaryDirectory() as folder:
            _compare(comparison, _Runner(case, arguments.environments, checkout, Path(folder)), keep=arguments.goldens)
    except subprocess.CalledProcessError as error:
        comparison.problem = f"failed: the source's process ended with status {error.returncode}"
    return comparison


@dataclass(frozen=True)
class _Runner:
    case: Case
    environments: Path
    checkout: Path | None
    folder: Path

    def run(self, *options: object) -> Mapping[str, np.ndarray]:
        """What the source's script writes."""
        spec = architecture(self.case.variant)
        out = self.folder / "upstream.npz"
        command = [python_of(self.case.upstream.environment, self.environments)]
        command += ["-m", f"parity.upstreams.{self.case.upstream.script}", "--variant", spec.name, "--out", out]
        command += ["--dtype", self.case.upstream.dtype, "--batch", self.case.batch]
        command += ["--channels", spec.in_channels, "--num-classes", spec.num_classes]
        command += ["--checkout", self.checkout.resolve()] if self.checkout else []
        subprocess.run([str(word) for word in (*command, *options)], check=True, cwd=ROOT, stderr=subprocess.DEVNULL)
        return np.load(out)

    def commit(self) -> dict[str, str]:
        if self.checkout is None:
            return {}
        command = ["git", "-C", str(self.checkout), "rev-parse", "HEAD"]
        return {"commit": subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()}


def _compare(comparison: Comparison, runner: _Runner, *, keep: bool) -> None:
    case = comparison.case
    sizes = (*case.golden_px, *case.px)
    theirs = runner.run("--px", *sizes, *(("--train", TRAIN_PX) if case.trains else ()))
    versions = json.loads(str(theirs["description"]))["versions"]
    comparison.versions = {**versions, **runner.commit()}
    expected = {px: theirs[f"logits/{px}"] for px in sizes}
    values = seeded_tensors(architecture(case.variant))
    comparison.sizes = _inference(case, values, expected)
    if case.trains:
        comparison.training = _training(case, values, theirs)
    for stride in case.finer:
        finer = runner.run("--px", FINER_PX, "--output-stride", stride)[f"logits/{FINER_PX}"]
        comparison.strides[stride] = _difference(case, values, FINER_PX, finer, torch.float64, stride)
    if keep and case.golden_px:
        facts = {"upstream": case.upstream.script, "versions": comparison.versions, "dtype": case.upstream.dtype}
        goldens.write(case.variant, facts, {px: expected[px] for px in case.golden_px})


def _inference(
    case: Case, values: Mapping[str, np.ndarray], expected: Mapping[int, np.ndarray]
) -> dict[str, dict[int, float]]:
    # A source that computes in float32 says nothing about more digits.
    dtypes = ("float32",) if case.upstream.dtype == "float32" else ("float32", "float64")
    return {
        dtype: {px: _difference(case, values, px, theirs, getattr(torch, dtype)) for px, theirs in expected.items()}
        for dtype in dtypes
    }


def _difference(
    case: Case,
    values: Mapping[str, np.ndarray],
    px: int,
    theirs: np.ndarray,
    dtype: torch.dtype,
    stride: int | None = None,
) -> float:
    spec = architecture(case.variant, output_stride=stride)
    pixels = seeded.pixels(px, spec.in_channels, case.batch)
    return relative_difference(logits(build(spec, values), pixels, dtype), theirs)


def _training(case: Case, values: Mapping[str, np.ndarray], theirs: Mapping[str, np.ndarray]) -> dict[str, float]:
    spec = architecture(case.variant)
    network = TorchNetwork(build(spec, values), "float64")
    labels = seeded.labels(TRAIN_PX, spec.num_classes, TRAIN_BATCH)
    ours = network.train_step(seeded.pixels(TRAIN_PX, batch=TRAIN_BATCH), labels)
    names = {name: there.name for name, there in source_of(case.variant).names(spec).items()}
    largest = max(np.abs(array).max() for key, array in ours.items() if key.startswith("gradients/"))
    worst = {"loss": 0.0, "gradients": 0.0, "running": 0.0}
    for key, array in ours.items():
        group, _, name = key.partition("/")
        other = theirs[f"{group}/{names[name]}" if name else group]
        if group != "gradients" or np.abs(other).max() > NOISE * largest:
            worst[group] = max(worst[group], relative_difference(array, other))
    return worst


if __name__ == "__main__":
    sys.exit(main())
