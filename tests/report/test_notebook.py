"""Results in notebooks: the pages that commands write, and tables."""

from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest

import xception
from tests.report.pages import evaluation
from tests.report.test_benchmark import measured
from xception.errors import UsageError
from xception.intervals import wilson
from xception.report.benchmark import render_benchmark
from xception.report.evaluation import render_evaluation
from xception.tasks.evaluation import ClassScore


class Frames(HTMLParser):
    """Collects what frames show."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[str | None] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "iframe":
            self.shown.append(dict(attrs)["srcdoc"])


def test_a_cell_displays_the_page_that_the_command_writes(tmp_path: Path) -> None:
    result = evaluation({(3, 8): 2})
    page = xception.result_page(result)
    frames = Frames()
    frames.feed(page._repr_html_())
    assert frames.shown == [render_evaluation(result, {})]
    assert page.write(tmp_path / "page.html").read_text(encoding="utf-8") == page.html
    assert xception.result_page(measured()).html == render_benchmark(measured())


def test_what_has_no_page_is_refused() -> None:
    with pytest.raises(UsageError, match="a str has no page; expected an Evaluation"):
        xception.result_page("digits")


def test_an_evaluation_shows_its_figures_and_is_a_table_of_classes() -> None:
    classes = (
        ClassScore(label="<b>", support=4, precision=1.0, recall=0.5, f1=2 / 3, recall_interval=wilson(2, 4)),
        ClassScore(label="none", support=0, precision=None, recall=None, f1=None),
    )
    result = msgspec.structs.replace(evaluation({}), bundle="<b>", classes=classes)
    shown = result._repr_html_()
    assert "<caption>&lt;b&gt; on digits:test</caption>" in shown
    assert "<td>top-1</td><td>100.00%</td>" in shown
    table = result.to_pandas()
    assert list(table.columns) == ["label", "support", "precision", "recall", "recall_low", "recall_high", "f1"]
    assert table["label"].tolist() == ["<b>", "none"]
    interval = wilson(2, 4)
    assert table.loc[0, ["recall_low", "recall_high"]].tolist() == [interval.low, interval.high]
    assert table.loc[1, ["recall", "recall_low"]].isna().all()
