"""The README and the code say the same."""

from pages.readme import README, updated
from xception import __version__
from xception.cli.app import COMMANDS


def test_a_wrong_table_would_be_noticed() -> None:
    text = README.read_text(encoding="utf-8").replace("22,855,952", "22,855,953", 1)
    assert updated(text) != text


def test_the_readme_shows_every_verb() -> None:
    text = README.read_text(encoding="utf-8")
    missing = [verb for verb in COMMANDS if verb != "demo" and f"xception {verb} " not in text]
    assert missing == []


def test_the_changelog_knows_this_version() -> None:
    assert f"## [{__version__}]" in (README.parent / "CHANGELOG.md").read_text(encoding="utf-8")
