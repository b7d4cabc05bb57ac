import pytest

from xception.cli.app import run


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
