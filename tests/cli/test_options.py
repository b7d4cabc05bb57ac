import pytest

from xception.cli.app import run
from xception.data.sources import DATA_HELP


def words(text: str) -> str:
    """The words of a help page, whose lines and frames depend on the terminal."""
    return "".join(letter for letter in text if letter.isalnum())


@pytest.mark.parametrize("verb", [("data", "check"), ("data", "parity"), ("compare",), ("evaluate",)])
def test_the_help_of_data_is_the_table_of_forms(verb: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    run([*verb, "--help"])
    assert words(DATA_HELP) in words(capsys.readouterr().out)


@pytest.mark.parametrize("verb", ["check", "prepare"])
def test_data_sets_to_keep_apart_have_one_help_text(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    run(["data", verb, "--help"])
    text = "A data set that may share no image with this one; may be repeated."
    assert words(text) in words(capsys.readouterr().out)


def test_no_workers_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["data", "check", "digits", "--readers", "0"]) == 2
    assert "--readers is 0; expected at least 1" in capsys.readouterr().err
