"""The judge of the server tells goals that are met from those that are not."""

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import serving_acceptance
from benchmarks.serving_acceptance import PARTS, Part, Setting, at_least, at_most, judge, table

SETTING = Setting(bundle=Path("a"), small=Path("b"), served={0}, photo=b"", seconds=1.0, deadline_s=1.0, requests=1000)


def test_a_goal_is_met_or_missed() -> None:
    assert [at_most("a", "b", value, 0.05).met for value in (0.05, 0.06, float("nan"))] == [True, False, False]
    assert [at_least("a", "b", value, 0.9).met for value in (0.9, 0.89, float("nan"))] == [True, False, False]


def test_only_the_parts_that_are_named_are_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in PARTS:
        part = Part(lambda _, name=name: iter([at_most(name, "bytes", 2.0, 1.0)]), lambda _: 1.0)
        monkeypatch.setitem(PARTS, name, part)
    found = judge(SETTING, ["memory", "fuzz"])
    assert [verdict.part for verdict in found] == ["memory", "fuzz"]
    assert "| memory | bytes | 2 | <= 1 | NO |" in table(found)
    assert "memory: bytes: 2, goal <= 1" in capsys.readouterr().err


def test_every_part_says_how_long_it_takes() -> None:
    assert all(part.seconds(replace(SETTING, requests=200_000)) > 0 for part in PARTS.values())


def test_failures_of_the_fuzzer_are_failures_here(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> object:
        return serving_acceptance.subprocess.CompletedProcess([], 1, stdout="request 3: 500\n", stderr="")

    monkeypatch.setattr(serving_acceptance.subprocess, "run", broken)
    (verdict,) = PARTS["fuzz"].measure(SETTING)
    assert not verdict.met
    assert "request 3: 500" in verdict.figure
