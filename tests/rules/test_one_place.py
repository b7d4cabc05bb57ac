"""Each of these facts has one place in the package, which others ask."""

import re
from collections import defaultdict

import pytest

from tests.rules.source import FILES, ROOT

PLACES = {
    "waiting for the disk": (r"\bfsync\b", "outputs.py platforms.py"),
    "a folder that takes its place at the end": (r"\bmkdtemp\(prefix=f\"\.", "outputs.py"),
    "whether a place is free": (r"\bany\([\w.]+\.iterdir\(\)\)", "outputs.py"),
    "indented JSON": (r"\bjson\.format\(", "outputs.py"),
    "whether a place is a URL": (r"\"://\" in ", "data/remote.py"),
    "whether a file is there": (r"\.size\([^)]*\)\n *except FileNotFoundError", "data/files.py"),
    "the names of the splits": (r"Literal\[\"train\", \"validation\", \"test\"\]", "data/splits.py"),
    "the command that installs optional packages": (r"pip install '", "errors.py"),
    "OpenVINO's core": (r"\bCore\(\)", "backends/openvino_core.py"),
    "the first bytes of a JPEG file": (r"\\xff\\xd8", "data/decode.py"),
}

PLANTED = """
os.fsync(file.fileno())
tempfile.mkdtemp(prefix=f".{path.name}")
if out.exists() and any(out.iterdir()):
msgspec.json.format(content, indent=2)
if "://" in place:
    files.size(name)
    except FileNotFoundError:
Split = Literal["train", "validation", "test"]
message = "run: pip install 'xception[torch]'"
core = openvino.Core()
START = b"\\xff\\xd8"
"""


def modules_with(pattern: str) -> set[str]:
    return {path.relative_to(ROOT).as_posix() for path in FILES if re.search(pattern, path.read_text(encoding="utf-8"))}


@pytest.mark.parametrize("fact", PLACES)
def test_a_fact_has_one_place(fact: str) -> None:
    pattern, places = PLACES[fact]
    assert modules_with(pattern) <= set(places.split())


@pytest.mark.parametrize("fact", PLACES)
def test_another_place_would_be_found(fact: str) -> None:
    assert re.search(PLACES[fact][0], PLANTED)


LITERAL = re.compile(r"\bLiteral\[((?:\"[^\"]+\",? ?)+)\]")


def orders_of_the_same_words(text: str) -> list[set[str]]:
    """Literals with the same members in several orders: typing keeps the one that it meets first, for both."""
    orders: dict[frozenset[str], set[str]] = defaultdict(set)
    for words in LITERAL.findall(text):
        orders[frozenset(words.split(", "))].add(words)
    return [several for several in orders.values() if len(several) > 1]


def test_literals_with_the_same_members_have_them_in_one_order() -> None:
    assert orders_of_the_same_words("".join(path.read_text(encoding="utf-8") for path in FILES)) == []
    assert orders_of_the_same_words('A = Literal["a", "b"]; B = Literal["b", "a"]; C = Literal["c"]') == [
        {'"a", "b"', '"b", "a"'}
    ]
