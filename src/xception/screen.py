"""Text made safe to show: without control characters, foreign line breaks and credentials."""

import re
import unicodedata

JOINERS = "\u200c\u200d"
"""Invisible characters that words of some languages, and emoji, are joined with."""

CREDENTIALS = re.compile(r"(?<=://)[^\s/?#'\"@]+@")
"""A user, with or without a password, in front of a URL's host."""

SECRETS = re.compile(
    r"(?i)(?<=[?&])([\w.-]*(?:token|signature|secret|passw|pwd|credential|auth|jwt|(?:access|api)[_.-]?key)[\w.-]*"
    r"|(?:[\w.-]*[_.-])?(?:sig|key|code|sid))=[^&#\s'\"]+"
)
"""A value in a URL's query that may open what others may not."""

_HIDDEN = "***"


def printable(text: str) -> str:
    """Text of a file as one line that says the same everywhere: each character that steers a terminal, turns the
    direction of writing or breaks the line is written as its escape, such as `\\x1b`."""
    return text if text.isprintable() else "".join(map(_shown, text))


def as_text(name: str) -> str:
    """A file's name as text; bytes that are not UTF-8 are written as `\\xff`."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def one_line(text: str) -> str:
    """A message as one printable line, whose line breaks become spaces, without credentials."""
    return printable(" ".join(without_credentials(text).split("\n")))


def without_credentials(text: str) -> str:
    """A URL, or a text that holds some, with `***` in place of users, passwords, tokens and signatures."""
    if "://" not in text:
        return text
    return SECRETS.sub(rf"\1={_HIDDEN}", CREDENTIALS.sub(f"{_HIDDEN}@", text))


def escaped_json(text: str) -> str:
    """A JSON document that means the same, with escapes for all that `printable` does not show."""
    return text if text.replace("\n", "").isprintable() else "".join(map(_shown_in_json, text))


def _shown(char: str) -> str:
    if char in JOINERS or _is_shown(char):
        return char
    return as_text(char) if "\udc80" <= char <= "\udcff" else char.encode("unicode_escape").decode()


def _is_shown(char: str) -> bool:
    return char.isprintable() or unicodedata.category(char) == "Zs"


def _shown_in_json(char: str) -> str:
    if char == "\n" or char in JOINERS or _is_shown(char):
        return char
    units = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[start : start + 2].hex()}" for start in range(0, len(units), 2))
