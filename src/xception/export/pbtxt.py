"""Protocol buffers' text format, as far as configurations use it: `name: value`, `name { ... }`, `name [ ... ]`."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from xception.errors import InputError

TOKEN = re.compile(r"""\s*("(?:[^"\\]|\\.)*"|[\w.+-]+|[{}\[\]:,])""")


class Word(str):
    """A value of an enumeration, which is written without quotes."""

    __slots__ = ()


def write_pbtxt(document: Mapping[str, Any]) -> str:
    """Text of nested mappings, lists, strings, numbers and `Word`s."""
    return "\n".join(_lines(document)) + "\n"


def _lines(document: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    for name, value in document.items():
        if isinstance(value, Mapping):
            yield from (f"{indent}{name} {{", *_lines(value, indent + "  "), f"{indent}}}")
        elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
            for item in value:
                yield from _lines({name: item}, indent)
        else:
            yield f"{indent}{name}: {_scalar(value)}"


def _scalar(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_scalar, value))}]"
    return str(value) if isinstance(value, Word) else json.dumps(value)


def read_pbtxt(text: str) -> dict[str, list[Any]]:
    """Every field as a list of its values, in their order; messages as such mappings again.

    Raises:
        InputError: the text is none of this form.
    """
    tokens = TOKEN.findall(text)
    if TOKEN.sub("", text).strip():
        raise InputError(f"not protocol buffers' text format: {TOKEN.sub('', text).strip()[:40]!r}")
    try:
        return _message(iter([*tokens, "}"]))
    except StopIteration:
        raise InputError("protocol buffers' text format ends within a message; expected more") from None


def _message(tokens: Iterator[str]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    while (name := next(tokens)) != "}":
        opened = next(tokens)
        piece = next(tokens) if opened == ":" else opened
        found.setdefault(name, []).extend(_list(tokens) if piece == "[" else [_value(piece, tokens)])
    return found


def _list(tokens: Iterator[str]) -> Iterator[Any]:
    while (piece := next(tokens)) != "]":
        if piece != ",":
            yield _value(piece, tokens)


def _value(piece: str, tokens: Iterator[str]) -> Any:
    if piece == "{":
        return _message(tokens)
    try:
        return json.loads(piece)
    except ValueError:
        return Word(piece)
