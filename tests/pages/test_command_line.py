"""The page on the command line says what the command says of itself."""

import re

import pytest

from pages.command_line import PAGE, SHARED, section, shared_section
from xception.cli.app import COMMANDS, run

OPTION = re.compile(r"(?<![\w-])--[a-z][\w-]*")


@pytest.mark.parametrize("verb", COMMANDS)
def test_every_option_of_the_help_is_on_the_page(
    verb: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert run([*verb.split(), "--help"]) == 0
    options = set(OPTION.findall(capsys.readouterr().out)) - {"--debug"}
    assert options
    assert options == set(OPTION.findall(section(verb)))


def test_the_page_has_every_verb() -> None:
    headings = [line[3:] for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("## ")]
    assert headings == [SHARED, *COMMANDS]


def test_the_options_stand_in_the_groups_of_the_help() -> None:
    tables = re.findall(r"^\| ([^`|]+) \| meaning \| default \|$", section("quantize"), re.MULTILINE)
    assert tables == ["Arguments", "Options", "Data and images", "Graph", "Quantization", "Output", "Speed"]
    assert "| Options | meaning | default |\n| --- | --- | --- |\n| `--calibration TEXT`" in section("quantize")


def test_an_operand_an_option_and_a_default_are_told_apart() -> None:
    text = section("predict")
    assert "xception predict [MODEL] [SOURCES...] [OPTIONS]" in text
    assert "| `--top N` | Number of likeliest classes per image to show or to score. | `5` |" in text
    assert "| `MODEL` | A [model](#models-data-and-speed). |" in text
    assert "| required |" in section("benchmark")


def test_the_options_of_every_runtime_are_explained_once() -> None:
    assert "| `MODEL` | A model: a bundle" in shared_section()
    assert "| `--backend TEXT` | Runtime: torch" in shared_section()
    assert "[Speed](#models-data-and-speed): `--backend`, `--readers`," in section("predict")
    assert "| `--workers N` |" in section("predict")
    assert "| `--backend TEXT` |" not in section("predict")
    assert "| `--precision float32\\|float16` |" in section("export")
