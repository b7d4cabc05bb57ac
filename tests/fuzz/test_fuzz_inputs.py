"""A short run over every target in every test run; `fuzz_inputs.py` itself runs as long as one likes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fuzz.fuzz_inputs import TARGETS, Target, case, fuzz
from tests.fuzz.litert_trials import forked_trials
from xception.backends import trial

CASES_PER_TARGET = 40


@pytest.fixture(scope="module", autouse=True)
def quick_trials() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch, forked_trials() as exit_status:
        patch.setattr(trial, "exit_status", exit_status)
        yield


@pytest.mark.parametrize("target", TARGETS)
def test_a_mutated_input_is_used_or_refused(target: str, tmp_path: Path) -> None:
    tally = fuzz(target, range(CASES_PER_TARGET), seed=1, folder=tmp_path)
    assert tally.reasons, "the mutations reach nothing"


@pytest.mark.parametrize("target", TARGETS)
def test_the_samples_themselves_are_used(target: str, tmp_path: Path) -> None:
    for data in TARGETS[target].samples():
        TARGETS[target].attempt(data, tmp_path)


def test_another_package_s_error_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TARGETS, "broken", Target(lambda: (b"some bytes",), lambda data, _: {}[data]))
    with pytest.raises(KeyError):
        fuzz("broken", range(3), seed=1, folder=tmp_path)
    assert (tmp_path / "failed").read_bytes() == case("broken", (b"some bytes",), 1, 0)
