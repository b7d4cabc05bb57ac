"""The result of a comparison, as a line for the terminal and as a table in the documentation."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from parity.cases import Case
from parity.comparison import Comparison

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "parity.md"

HEAD = """# Parity with the sources

This page is written by `make parity`; do not edit it.
Parity means that a network of this toolkit computes the same as its source's own code.
Both get the same seeded weights at full width and the same seeded images.
Each number is the largest difference between their logits, divided by the largest logit.
At most 1e-5 is allowed in float32 and 1e-12 in float64.
The smallest fault that was tried, a wrong epsilon, gives more than 1e-3 in float32.
MindSpore computes only in float32.
Paddle keeps the epsilon of its norms in float32 even in a float64 network.
The comparison with Paddle does so on both sides.

"""

COLUMNS = (
    "network",
    "source",
    "image sizes (px)",
    "float32",
    "float64",
    "by output stride",
    "training step",
    "checkpoints read",
    "verdict",
)


def line(comparison: Comparison) -> str:
    return " | ".join(_cells(comparison))


def write(comparisons: Iterable[Comparison]) -> None:
    comparisons = list(comparisons)
    rows = [COLUMNS, ("---",) * len(COLUMNS), *map(_cells, comparisons)]
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in rows)
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(f"{HEAD}{table}\n\n{NOTES}\n\n## Versions\n\n{_versions(comparisons)}\n")


NOTES = """The source's framework wrote the checkpoints, and this toolkit read them without that framework.
Every tensor was read bit for bit, unless the table says otherwise.
In `unnamed.weights.h5` the layers have no names, as in files of Keras before 3.6.
`sharded` is divided over several files.
A `folder` of timm must also state the network that it contains.

A training step is one batch of four images of 97 px in float64.
Its number is the largest difference of the loss, of any gradient and of any running statistic after the step.
Output strides are compared at 161 px.
For xception71 at output stride 8, timm drops a projection and cannot read its own weights, so this case is left out."""


def _cells(comparison: Comparison) -> tuple[str, ...]:
    case = comparison.case
    return (
        f"`{case.variant}`" + _departure(case),
        case.upstream.script,
        ", ".join(map(str, sorted((*case.golden_px, *case.px)))),
        _worst(comparison.sizes.get("float32", {})),
        _worst(comparison.sizes.get("float64", {})),
        ", ".join(f"{stride}: {_number(value)}" for stride, value in comparison.strides.items()),
        _worst(comparison.training),
        ", ".join(f"{name}: {problem}" if problem else name for name, problem in comparison.files.items()),
        comparison.problem or ("equal" if comparison.passed else "DIFFERENT"),
    )


def _departure(case: Case) -> str:
    words = [", other widths"] if case.stackwise else []
    return "".join([*words, *(f", {name} {value}" for name, value in case.model_args.items())])


def _worst(differences: Mapping[Any, float]) -> str:
    return _number(max(differences.values())) if differences else ""


def _number(value: float) -> str:
    return f"{value:.1e}" if value else "0"


def _versions(comparisons: Iterable[Comparison]) -> str:
    by_script = {comparison.case.upstream.script: comparison.versions for comparison in comparisons}
    rows = [
        (script, ", ".join(f"{name} {version}" for name, version in versions.items()))
        for script, versions in by_script.items()
    ]
    return "\n".join(f"- {script}: {versions or 'not run'}" for script, versions in rows)
