"""A short run of the fuzzer in every test run; `fuzz_readers.py` itself runs as long as one likes."""

from pathlib import Path

import pytest

from tests.fuzz.fuzz_readers import READERS, Hang, attempt, case, fuzz

CASES_PER_READER = 200
"""Eight times as many as any reader needs to refuse for more than five reasons."""


@pytest.mark.parametrize("reader", READERS)
def test_a_mutated_checkpoint_is_read_or_refused(reader: str, tmp_path: Path) -> None:
    tally = fuzz(reader, range(CASES_PER_READER), seed=1, folder=tmp_path)
    assert tally.accepted > 0
    assert len(tally.reasons) > 5, "the mutations reach little of the reader"


def test_a_case_is_always_the_same_file() -> None:
    assert case("torch_zip", 1, 7) == case("torch_zip", 1, 7)
    assert case("torch_zip", 1, 7) != case("torch_zip", 1, 8)


def test_the_fuzzer_notices_what_is_no_input_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.fuzz.fuzz_readers.attempt", lambda path: [][len(path.name)])
    with pytest.raises(IndexError):
        fuzz("safetensors", range(3), seed=1, folder=tmp_path)
    assert (tmp_path / "failed").read_bytes() == case("safetensors", 1, 0)


def spin(_: Path) -> None:
    while True:
        pass


def test_the_fuzzer_notices_what_takes_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.fuzz.fuzz_readers.MAX_CPU_S", 0.05)
    monkeypatch.setattr("tests.fuzz.fuzz_readers.read_checkpoint", spin)
    with pytest.raises(Hang):
        fuzz("safetensors", range(3), seed=1, folder=tmp_path)


def test_the_samples_themselves_are_read() -> None:
    for names in READERS.values():
        for name in names:
            assert attempt(Path(__file__).parents[1] / "convert" / "samples" / name) is None
