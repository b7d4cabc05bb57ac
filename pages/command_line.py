"""The page on the command line: every verb with its operands and options, from its signature and docstring."""

import re
from collections.abc import Iterable, Mapping
from inspect import cleandoc
from pathlib import Path
from typing import Any, get_args, get_type_hints

from cyclopts import App

from pages.markdown import ROOT, markdown_table
from xception.cli.app import COMMANDS, EPILOGUE, build_app
from xception.cli.engine import RuntimeOptions
from xception.cli.help import by_topic, usage
from xception.cli.options import MODEL_HELP
from xception.data.sources import DATA_HELP

PAGE = ROOT / "docs/reference/command-line.md"
HEAD = f"""# Command line

`xception VERB --help` shows the same on the screen.
`python -m xception` is the same command.
{EPILOGUE.replace(". `", f".{chr(10)}`")}

"""
SHARED = "Models, data and speed"
"""Heading of what means the same for every verb."""

ABOVE = f"(#{SHARED.lower().replace(',', '').replace(' ', '-')})"
IN_SHORT = {MODEL_HELP: f"A [model]{ABOVE}.", DATA_HELP: f"A [data set]{ABOVE}."}
"""Texts that stand in full below `SHARED` only, with what the verbs say instead."""

SPEED = "Speed"
RUNTIME_HELP = frozenset(
    get_args(hint)[1].help for hint in get_type_hints(RuntimeOptions, include_extras=True).values()
)
"""Help of the options that every verb with a runtime has."""

EXAMPLES = re.compile(r"```\n(.*?)```\n?", re.DOTALL)
SENTENCE_BREAK = re.compile(r"(?<=[a-z0-9)`][.]) (?=[A-Z`])")


def generated() -> Mapping[Path, str]:
    """The page with today's verbs."""
    return {PAGE: HEAD + "\n".join([shared_section(), *map(section, COMMANDS)])}


def shared_section() -> str:
    """The operands and options of all verbs that run a model."""
    rows = [("`MODEL`", _cell(MODEL_HELP)), ("`DATA`", _cell(DATA_HELP))]
    rows += [
        (f"`{_written(argument)}`", _cell(argument.parameter.help or ""))
        for argument in _app_of("evaluate").assemble_argument_collection(parse_docstring=True)
        if argument.parameter.help in RUNTIME_HELP
    ]
    return f"## {SHARED}\n\nThese mean the same for every verb.\n\n{markdown_table(('Name', 'meaning'), rows)}"


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
    tables = (_table("Arguments", operands), *(_group(topic, group) for topic, group in by_topic(options)))
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


def _group(topic: str, options: Iterable[Any]) -> str:
    """A table of options; those that every verb with a runtime has are only named."""
    shared = [option for option in options if topic == SPEED and option.parameter.help in RUNTIME_HELP]
    names = ", ".join(f"`{option.names[0]}`" for option in shared)
    own = _table(topic, (option for option in options if option not in shared))
    return "\n\n".join(part for part in (own, f"[{SPEED}]{ABOVE}: {names}." if shared else "") if part)


def _table(title: str, arguments: Iterable[Any]) -> str:
    rows = [
        (f"`{_written(argument)}`", _meaning(argument.parameter.help or ""), _default(argument))
        for argument in arguments
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


def _meaning(text: str) -> str:
    return IN_SHORT.get(text) or _cell(text)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
