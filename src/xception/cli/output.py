"""Output that all verbs share: JSON and tables on stdout, hints on stderr."""

import io
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from xception.cli.layout import fact_lines, screen_columns, table_lines, wrapped
from xception.cli.progress import clear_display
from xception.data.inventory import inventory_of
from xception.data.source import Item, Source
from xception.errors import EnvironmentFault
from xception.invocation import own_program
from xception.outputs import json_document
from xception.platforms import shell_line
from xception.screen import escaped_json, one_line

if TYPE_CHECKING:
    from rich.progress import Progress

    from xception.bundle import Agreement, Certificate, Model, Network
    from xception.intervals import Interval


NUMBERS = re.compile(r"\[\n\s+((?:[-+.\deE]+,\n\s+)*[-+.\deE]+)\n\s+\]")
"""An array that holds only numbers, one per line."""


def print_json(document: object) -> None:
    """One JSON document on stdout; arrays of numbers are written in a row, so that a matrix looks like one."""
    text = escaped_json(json_document(document).decode())
    clear_display()
    sys.stdout.write(NUMBERS.sub(lambda numbers: f"[{' '.join(numbers[1].split())}]", text))


def class_list(names: Sequence[str], most: int = 3) -> str:
    """The number of classes, and the first of their names in quotes, since a name may hold commas."""
    more = ", ..." if len(names) > most else ""
    return f"{len(names)} ({', '.join(map(repr, names[:most]))}{more})"


def print_rows(header: Sequence[str], rows: Iterable[Sequence[str]], *, prose: bool = False) -> None:
    """A table on stdout, laid out for its width; with `prose` the last column holds sentences."""
    shown = [list(map(one_line, row)) for row in rows]
    _write(table_lines(header, shown, screen_columns(), prose=prose))


def print_facts(facts: Mapping[str, str]) -> None:
    """Names and values on stdout, laid out for its width."""
    _write(fact_lines(_shown(facts), screen_columns()))


def print_line(text: str = "") -> None:
    """A line on stdout, which ends between words where it is too long for the screen."""
    indent = " " * (len(text) - len(text.lstrip()))
    _write(wrapped(one_line(text.lstrip()), screen_columns(), indent))


def _shown(facts: Mapping[str, str]) -> list[tuple[str, str]]:
    return [(one_line(name), one_line(value)) for name, value in facts.items()]


def _write(lines: Iterable[str]) -> None:
    clear_display()
    sys.stdout.write("".join(f"{line}\n" for line in lines))


def say(text: str) -> None:
    """A line on stderr for the person at the terminal; see `one_line` for what is not shown as it is."""
    sys.stderr.write(one_line(text) + "\n")


def explain(terms: Mapping[str, str]) -> None:
    """Say on stderr what terms above mean, laid out for its width."""
    sys.stderr.write("".join(f"{line}\n" for line in fact_lines(_shown(terms), screen_columns(sys.stderr))))


class Screen(io.TextIOBase):
    """Standard output as a stream of whole lines, each shown by `print_line`."""

    def write(self, text: str) -> int:
        print_line(text.removesuffix("\n"))
        return len(text)


def command(*words: object) -> str:
    """A command of this program as a shell takes it, whatever characters are in its words."""
    return shell_line([*own_program(), *map(str, words)])


def propose(*commands: str) -> None:
    """Say which command makes sense next, or which ones, a line each, so that a line can be pasted."""
    for number, line in enumerate(commands):
        say(f"{'  or' if number else 'next'}: {line}")


def prepare_streams() -> None:
    """Make stdout and stderr take every character, as an escape where their encoding lacks it.

    Raises:
        EnvironmentFault: stdout is closed. The next file that is opened would take its place.
    """
    if sys.stderr is None:
        sys.stderr = io.StringIO()
    if sys.stdout is None:
        raise EnvironmentFault("the standard output is closed; send it to a file, or to /dev/null")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def percent(interval: "Interval | None") -> str:
    """An accuracy with its 95 % interval, for the screen."""
    if interval is None:
        return "-"
    return f"{interval.value:.2%} [{interval.low:.2%}, {interval.high:.2%}]"


def points(difference: "Interval | None") -> str:
    """A difference of two accuracies with its 95 % interval, in percentage points."""
    if difference is None:
        return "-"
    value, low, high = (100 * part for part in (difference.value, difference.low, difference.high))
    return f"{value:+.2f} points [{low:+.2f}, {high:+.2f}]"


def agreement_sentence(measured: "Agreement", network: "Network") -> str:
    """An agreement with the parent for the screen."""
    top1 = f", top-1 {measured.top1_agreement:.2%}" if network.num_classes else ""
    return (
        f"largest difference {measured.max_abs_diff:.1e} ({measured.relative_diff:.1e} relative){top1} on "
        f"{measured.samples} samples"
    )


def certificate_sentence(certificate: "Certificate", network: "Network") -> str:
    """A certificate for the screen."""
    sizes = ", ".join(map(str, certificate.sizes_px))
    framework = " ".join(next(iter(certificate.versions.items())))
    return f"{framework}: {agreement_sentence(certificate.agreement, network)} of {sizes} px"


def head_sentence(model: "Model") -> str:
    """The way from feature maps to answers, for the screen."""
    network, answers = model.network, {"none": "no probabilities"}
    if not network.num_classes:
        return f"{network.pooling} pooling, no classifier"
    hidden = f", a hidden layer of {network.hidden_features}" if network.hidden_features else ""
    return f"{network.pooling} pooling{hidden}, {answers.get(model.activation, model.activation)}"


class Watched:
    """A source whose iteration moves a progress bar."""

    def __init__(self, source: Source, progress: "Progress", description: str) -> None:
        self.name = source.name
        self.classes = source.classes
        self.inventory = inventory_of(source)
        self._source = source
        self._progress = progress
        self._task = progress.add_task(description, total=len(source))

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int, /) -> Item:
        return self._source[index]

    def __iter__(self) -> Iterator[Item]:
        for item in self._source:
            yield item
            self._progress.advance(self._task)
