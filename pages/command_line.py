"""The page on the command line: every verb with its operands and options, from its signature and docstring."""

import re
from collections.abc import Iterable, Mapping
from inspect import cleandoc
from pathlib import Path
from typing import Any, get_args

from cyclopts import App

from pages.markdown import ROOT, markdown_table
from xception.cli.app import COMMANDS, EPILOGUE, build_app
from xception.cli.help import by_topic, usage

PAGE = ROOT / "docs/reference/command-line.md"
HEAD = f"""# Command line

`xception VERB --help` shows the same on the screen.
`python -m xception` is the same command.
{EPILOGUE.replace(". `", f".{chr(10)}`")}

"""
EXAMPLES = re.compile(r"```\n(.*?)```\n?", re.DOTALL)
SENTENCE_BREAK = re.compile(r"(?<=[a-z0-9)`][.]) (?=[A-Z`])")


def generated() -> Mapping[Path, str]:
    """The page with today's verbs."""
    return {PAGE: HEAD + "\n".join(map(section, COMMANDS))}


def section(verb: str) -> str:
    """What one verb does, its examples, and tables of its operands and of each group of its options."""
    app = _app_of(verb)
    text = cleandoc(app.help).partition("\nArgs:")[0]
    examples = "".join(EXAMPLES.findall(text))
    words = EXAMPLES.sub("", text)
    arguments = [
        argument for argument in app.assemble_argument_collection(parse_docstring=True) if argument.names[0] != "*"
    ]
    operands = [argument for argument in arguments if not argument.names[0].startswith("-")]
    options = [argument for argument in arguments if argument.names[0].startswith("-")]
    parts = (
        f"## {verb}",
        f"```text\n{usage(verb, app)}\n```",
        *map(_sentences, words.split("\n\n")),
        _fenced(examples),
    )
    tables = (_table("Arguments", operands), *(_table(topic, group) for topic, group in by_topic(options)))
    return "\n\n".join(part for part in (*parts, *tables) if part) + "\n"


def _app_of(verb: str) -> App:
    app = build_app(verb.split())
    for word in verb.split():
        app = app[word]
    return app


def _sentences(paragraph: str) -> str:
    """A paragraph with one sentence per line."""
    return SENTENCE_BREAK.sub("\n", " ".join(paragraph.split()))


def _fenced(examples: str) -> str:
    return f"```text\n{examples}```" if examples else ""


def _table(title: str, arguments: Iterable[Any]) -> str:
    rows = [
        (f"`{_written(argument)}`", _cell(argument.parameter.help or ""), _default(argument)) for argument in arguments
    ]
    return markdown_table((title, "meaning", "default"), rows).rstrip() if rows else ""


def _written(argument: Any) -> str:
    """An option with the kind of its value, or an operand's name."""
    name = argument.names[0]
    if not name.startswith("-") or argument.hint is bool:
        return str(name)
    return f"{name} {_value(argument.hint)}"


def _value(hint: Any) -> str:
    """What stands behind an option: one of some words, or the kind of value in capitals."""
    kinds = [kind for kind in get_args(hint) if kind is not type(None)]
    if kinds and all(isinstance(kind, str) for kind in kinds):
        return r"\|".join(kinds)
    if kinds:
        return _value(kinds[0])
    return {"int": "N", "float": "X", "str": "TEXT", "Path": "PATH"}.get(getattr(hint, "__name__", ""), "VALUE")


def _default(argument: Any) -> str:
    if argument.required:
        return "required"
    default = argument.field_info.default
    return "" if default in (None, False, (), argument.field_info.empty) else f"`{default}`"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
