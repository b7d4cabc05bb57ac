"""One sign for gains and losses: a difference is the second, or the new one, less the first, or the old one."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.rules.source import ROOT
from xception.intervals import bootstrap_difference, paired_difference
from xception.quantize.gate import judge
from xception.quantize.outputs import Outputs

SIGNED_LOSS = re.compile(r"\b(loss|drop|lost|decrease|worse by)\b[^\"'|]*(\{[^}]*:\+|%\+)", re.IGNORECASE)
"""A loss that is shown with a sign, so that two negations have to be worked out."""


def signed_losses(text: str) -> Iterator[str]:
    return (line for line in text.splitlines() if SIGNED_LOSS.search(line))


def sources() -> Iterator[Path]:
    return (path for path in ROOT.rglob("*") if path.suffix in (".py", ".j2"))


def test_nothing_is_shown_as_a_loss_with_a_sign() -> None:
    assert [line for path in sources() for line in signed_losses(path.read_text("utf-8"))] == []


@pytest.mark.parametrize("line", ['f"a loss of {drop * 100:+.2f} points"', '<td>drop {{ "%+.2f" | format(x) }}</td>'])
def test_a_loss_with_a_sign_is_found(line: str) -> None:
    assert list(signed_losses(line.replace('"%', "%"))) == [line.replace('"%', "%")]


def test_a_worse_second_model_has_a_negative_difference_wherever_one_is_computed() -> None:
    targets = np.arange(100) % 2
    right, wrong = np.eye(2, dtype=np.float32)[targets], np.eye(2, dtype=np.float32)[1 - targets]
    half = np.where((np.arange(100) < 50)[:, None], right, wrong)
    better, worse = (
        Outputs(data="d", names=("a", "b"), keys=tuple(map(str, range(100))), logits=logits, targets=targets, failed=0)
        for logits in (right, half)
    )
    found = (
        judge(better, worse).difference,
        paired_difference(50, 0, 100),
        bootstrap_difference(50, 0, 100),
    )
    assert [one.value if one else None for one in found] == [-0.5] * 3
