"""Pages of results for notebooks: the page that a command writes, displayed in a cell."""

from dataclasses import dataclass
from functools import singledispatch
from html import escape
from pathlib import Path
from typing import TypeVar

import msgspec

from xception.errors import UsageError
from xception.outputs import write_file
from xception.report.benchmark import render_benchmark
from xception.report.comparison import render_comparison
from xception.report.evaluation import render_evaluation
from xception.speed.benchmark import Benchmark
from xception.tasks.compare import Comparison
from xception.tasks.evaluation import Evaluation
from xception.tasks.provenance import run_now

Dated = TypeVar("Dated", Evaluation, Comparison, Benchmark)

HEIGHT_PX = 640


@dataclass(frozen=True, kw_only=True)
class ResultPage:
    """A self-contained HTML page. A notebook displays it; `write` keeps it in a file."""

    html: str

    def write(self, path: str | Path) -> Path:
        """Write the page to a file, and return its path.

        Raises:
            EnvironmentFault: nothing can be written there.
        """
        write_file(Path(path), self.html.encode())
        return Path(path)

    def __repr__(self) -> str:
        return f"ResultPage({len(self.html):,} characters)"

    def _repr_html_(self) -> str:
        return f'<iframe srcdoc="{escape(self.html)}" style="width:100%;height:{HEIGHT_PX}px;border:0"></iframe>'


def result_page(result: Evaluation | Comparison | Benchmark) -> ResultPage:
    """Make an HTML page of a result, with figures, charts and tables, but without pictures of single images.

    Args:
        result: an `Evaluation`, a `Comparison` or a `Benchmark`.

    Raises:
        MissingExtra: jinja2 or matplotlib is not installed.
        UsageError: it is something else.
    """
    return ResultPage(html=_html(result))


def _dated(result: Dated) -> Dated:
    """The result with this moment as its date, where no command has given it one."""
    provenance = result.provenance
    if provenance is None or provenance.run:
        return result
    return msgspec.structs.replace(result, provenance=msgspec.structs.replace(provenance, run=run_now()))


@singledispatch
def _html(result: object) -> str:
    raise UsageError(f"a {type(result).__name__} has no page; expected an Evaluation, a Comparison or a Benchmark")


@_html.register
def _(result: Evaluation) -> str:
    return render_evaluation(_dated(result), {})


@_html.register
def _(result: Comparison) -> str:
    return render_comparison(_dated(result), {})


@_html.register
def _(result: Benchmark) -> str:
    return render_benchmark(_dated(result))
