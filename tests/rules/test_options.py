"""One meaning per option: the same name says the same on every verb."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping

from cyclopts import Parameter

from tests.rules.source import ROOT
from xception.cli.app import COMMANDS, build_app

DETAILS = re.compile(r"[.:;,(]")
"""The meaning of an option is its help up to the first of these; verbs may add details."""

Help = Mapping[str, Mapping[str, str]]
"""Help text by option and verb."""


def options(verb: str) -> Iterator[tuple[str, str]]:
    """The names of a verb's options with their help texts."""
    words = verb.split()
    app = build_app(words)
    for word in words:
        app = app[word]
    default = Parameter(negative=())
    for argument in app.assemble_argument_collection(default_parameter=default, parse_docstring=True):
        for name in argument.names:
            if name.startswith("--"):
                yield name, argument.parameter.help or ""


def all_options() -> Help:
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for verb in COMMANDS:
        for name, text in options(verb):
            found[name][verb] = text
    return found


def silent(found: Help) -> list[str]:
    return [f"{verb} {name}" for name, verbs in found.items() for verb, text in verbs.items() if not text.strip()]


def ambiguous(found: Help) -> dict[str, set[str]]:
    """The options that mean several things."""
    meanings = {name: {DETAILS.split(text)[0].strip() for text in verbs.values()} for name, verbs in found.items()}
    return {name: several for name, several in meanings.items() if len(several) > 1}


def synonyms(found: Help) -> dict[str, set[str]]:
    """The meanings that bear several names."""
    names: dict[str, set[str]] = defaultdict(set)
    for name, verbs in found.items():
        for text in verbs.values():
            names[DETAILS.split(text)[0].strip()].add(name)
    return {meaning: several for meaning, several in names.items() if len(several) > 1}


def test_every_option_says_what_it_means() -> None:
    found = all_options()
    assert len(found) > 50
    assert silent(found) == []


def test_an_option_means_the_same_on_every_verb() -> None:
    assert ambiguous(all_options()) == {}


def test_a_meaning_has_one_name() -> None:
    assert synonyms(all_options()) == {}


def test_a_second_meaning_a_second_name_and_a_silent_option_would_be_noticed() -> None:
    found = {
        "--csv": {"predict": "Print one CSV table.", "evaluate": "File for all figures."},
        "--table": {"predict": "Print one CSV table (with a header)."},
        "--top": {"predict": "Classes per image.", "evaluate": "Classes per image: the largest k."},
        "--mute": {"predict": " "},
    }
    assert ambiguous(found) == {"--csv": {"Print one CSV table", "File for all figures"}}
    assert synonyms(found) == {"Print one CSV table": {"--csv", "--table"}}
    assert silent(found) == ["predict --mute"]


def test_the_messages_of_the_command_line_name_only_options_that_exist() -> None:
    torchrun = {"--nproc-per-node", "--no-python"}
    known = set(all_options()) | {"--debug", "--help", "--version"} | torchrun
    named = {
        (path.name, name)
        for path in (ROOT / "cli").glob("*.py")
        for name in re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*[a-z0-9]", path.read_text(encoding="utf-8"))
    }
    assert {(file, name) for file, name in named if name not in known} == set()
