import re

import pytest
from cyclopts.help import HelpEntry

from tests.cli.test_progress import COLOURS, terminal
from tests.rules.test_options import all_options
from xception.cli.app import COMMANDS, LIFE_STAGES, run
from xception.cli.help import TOPICS, grouped

STAGE_WORDS = " ".join(LIFE_STAGES.values()).split()


def test_flags_do_not_say_that_they_are_off(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert run(["predict", "--help"]) == 0
    shown = capsys.readouterr().out
    assert "[default: 5]" in shown
    assert "default: False" not in shown
    assert run(["data", "check", "--help"]) == 0
    assert "default: ()" not in capsys.readouterr().out


def test_verbs_are_listed_by_stages_of_a_models_life(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    shown = capsys.readouterr().out
    headings = re.findall(r"^╭─ (.+?) ─", shown, re.MULTILINE)
    assert headings == [*LIFE_STAGES, "Options"]
    assert [word for word in re.findall(r"^│ ([a-z-]+) ", shown, re.MULTILINE) if word[0] != "-"] == STAGE_WORDS


def test_every_verb_stands_in_one_stage_in_its_order() -> None:
    assert list(dict.fromkeys(name.split()[0] for name in COMMANDS)) == STAGE_WORDS


@pytest.mark.parametrize("no_color", ["", "1"])
def test_help_heeds_no_color(no_color: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", no_color)
    with terminal(monkeypatch, "stdout") as end:
        assert run(["predict", "--help"]) == 0
        shown = end()
    assert "Usage: xception predict" in shown
    assert any(code in shown for code in COLOURS) is not bool(no_color)


def test_the_options_of_a_long_verb_are_in_groups_and_the_needed_ones_come_first(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["quantize", "--help"]) == 0
    headings = re.findall(r"^╭─ (.+?) ─", capsys.readouterr().out, re.MULTILINE)
    assert headings == ["Arguments", "Options", "Data and images", "Graph", "Quantization", "Output", "Speed"]
    entries = [HelpEntry(positive_names=(f"--{name}",)) for name in "abcdefghi"]
    needed = HelpEntry(positive_names=("--out",), required=True)
    assert [title for title, _ in grouped([*entries, needed], "Parameters")] == ["Options"]
    assert next(grouped([*entries, needed], "Parameters"))[1][0] is needed
    assert [title for title, _ in grouped(entries[:3], "Parameters")] == ["Options"]


def test_groups_name_only_options_that_exist_each_once() -> None:
    named = [option for options in TOPICS.values() for option in options.split()]
    assert len(named) == len(set(named)) > 50
    assert set(named) - set(all_options()) == set()


@pytest.mark.parametrize(
    ("verb", "line"),
    [
        ("evaluate", "Usage: xception evaluate [MODEL] [DATA] [OPTIONS]"),
        ("convert", "Usage: xception convert FILE --out OUT [OPTIONS]"),
        ("serve-key", "Usage: xception serve-key NAME"),
    ],
)
def test_usage_names_every_operand_and_the_options_that_are_needed(
    verb: str, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([verb, "--help"]) == 0
    assert line in capsys.readouterr().out.splitlines()
