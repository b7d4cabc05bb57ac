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
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from parity import goldens, report
from parity.cases import CASES, Case
from parity.comparison import TRAIN_PX, Comparison, difference, files, inference, training
from parity.environments import python_of
from parity.ours import seeded_tensors

ROOT = Path(__file__).parent.parent
FINER_PX = 161


def main() -> int:
    """Exit status 0 if every case was compared and passed, else 1."""
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
    option = case.upstream.checkout
    checkout = getattr(arguments, option.replace("-", "_")) if option else None
    if option and checkout is None:
        comparison.problem = f"not run: --{option} was not given"
        return comparison
    try:
        with tempfile.TemporaryDirectory() as folder:
            runner = _Runner(case, arguments.environments, checkout, Path(folder))
            _compare(comparison, runner, keep=arguments.goldens)
    except subprocess.CalledProcessError as error:
        last_words = (error.stderr or "").strip().rpartition("\n")[2]
        comparison.problem = f"failed: {last_words or error}"
    return comparison


@dataclass(frozen=True)
class _Runner:
    """Runs the script of a case's source."""

    case: Case
    environments: Path
    checkout: Path | None
    folder: Path

    def run(self, *options: object) -> Mapping[str, np.ndarray]:
        """What the script writes.

        Raises:
            subprocess.CalledProcessError: it failed, or its environment cannot be made.
        """
        spec = self.case.spec
        out = self.folder / "upstream.npz"
        command: list[object] = [python_of(self.case.upstream.environment, self.environments)]
        command += ["-m", f"parity.upstreams.{self.case.upstream.script}", "--variant", spec.name, "--out", out]
        command += ["--dtype", self.case.upstream.dtype, "--batch", self.case.batch]
        command += ["--channels", spec.in_channels, "--num-classes", spec.num_classes]
        stackwise = self.case.stackwise
        command += ["--stackwise", msgspec.json.encode(stackwise).decode()] if stackwise else []
        command += ["--model-args", json.dumps(self.case.model_args)] if self.case.model_args else []
        command += ["--checkout", self.checkout.resolve()] if self.checkout else []
        subprocess.run(
            [str(word) for word in (*command, *options)], check=True, cwd=ROOT, capture_output=True, text=True
        )
        with np.load(out) as arrays:
            return dict(arrays)

    @property
    def checkpoints(self) -> Path:
        """The folder for the source's checkpoints."""
        folder = self.folder / "checkpoints"
        folder.mkdir(exist_ok=True)
        return folder

    def commit(self) -> dict[str, str]:
        """The commit of the checkout, where there is one."""
        if self.checkout is None:
            return {}
        command = ["git", "-C", str(self.checkout), "rev-parse", "HEAD"]
        return {"commit": subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()}


def _compare(comparison: Comparison, runner: _Runner, *, keep: bool) -> None:
    case = comparison.case
    sizes = (*case.golden_px, *case.px)
    training_step = ("--train", TRAIN_PX) if case.trains else ()
    theirs = runner.run("--px", *sizes, "--save", runner.checkpoints, *training_step)
    comparison.versions = {**json.loads(str(theirs["description"]))["versions"], **runner.commit()}
    expected = {px: theirs[f"logits/{px}"] for px in sizes}
    values = seeded_tensors(case.spec, case.scheme)
    comparison.sizes = inference(case, values, expected)
    comparison.files = files(case, values, runner.checkpoints)
    if case.trains:
        comparison.training = training(case, values, theirs)
    for stride in case.finer:
        finer = runner.run("--px", FINER_PX, "--output-stride", stride)[f"logits/{FINER_PX}"]
        comparison.strides[stride] = difference(case, values, FINER_PX, finer, "float64", stride)
    if keep and case.golden_px:
        facts = {"upstream": case.upstream.script, "versions": comparison.versions, "dtype": case.upstream.dtype}
        goldens.write(case.golden, facts, {px: expected[px] for px in case.golden_px})


if __name__ == "__main__":
    sys.exit(main())
