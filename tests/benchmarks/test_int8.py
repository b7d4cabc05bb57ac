from pathlib import Path

import pytest

from benchmarks.int8 import Case, refusals, rescaled, scrambled, stretched
from tests.support.reader import HELD_OUT
from xception.backends.base import open_session
from xception.bundle import Bundle
from xception.data.digits import digits
from xception.tasks.agreement import agreement_of, data_pixels


def test_blowing_up_leaves_the_function_as_it_is_and_scrambling_does_not(reader: Bundle, tmp_path: Path) -> None:
    pixels = data_pixels(HELD_OUT, reader.model.preprocess, 16)
    logits, same, other = (
        open_session(bundle)(pixels)
        for bundle in (reader, rescaled(reader, tmp_path / "blown-up"), scrambled(reader, tmp_path / "scrambled"))
    )
    assert agreement_of(same, logits).relative_diff < 1e-4
    assert agreement_of(other, logits).top1_agreement < 0.2


def test_stretched_sums_leave_the_function_as_it_is(reader_weights: Bundle, tmp_path: Path) -> None:
    pixels = data_pixels(HELD_OUT, reader_weights.model.preprocess, 16)
    before, after = (open_session(b)(pixels) for b in (reader_weights, stretched(reader_weights, tmp_path / "out")))
    assert agreement_of(after, before).relative_diff < 1e-4


@pytest.mark.slow
def test_every_fault_has_its_sentence_and_exit_code(reader: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    refusals(Case(reader, digits("train"), HELD_OUT, ("digits:train", "digits:validation")))
    rows = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()[2:]]
    assert [code for _, code, _ in rows] == ["3", "3", "3", "1", "1"]
    for (_, _, sentence), words in zip(
        rows, ("", "1 of 10 classes", "in both", "guessing among 10 classes", "no bundle was written"), strict=True
    ):
        assert words in sentence
