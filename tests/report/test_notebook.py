"""Results in notebooks: the pages that commands write, and tables."""

import re
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest

import xception
from tests.report.pages import evaluation, training_log
from tests.report.test_benchmark import measured
from tests.report.test_check import checked
from tests.report.test_comparison import compared
from tests.report.test_quantization import RESULT
from xception.checks.findings import finding
from xception.errors import UsageError
from xception.intervals import wilson
from xception.report.benchmark import render_benchmark
from xception.report.evaluation import render_evaluation
from xception.tasks.evaluation import ClassScore, ConfidenceBin, ConfusedPair
from xception.train.logs import History


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


def test_a_comparison_shows_both_models_with_its_verdict_and_is_a_table_of_flips() -> None:
    result = compared(60, 0.6)
    shown = result._repr_html_()
    assert f"<td>{result.first.score.top1.value:.2%}</td>" in shown
    assert result.non_inferiority.sentence() in shown
    table = result.to_pandas()
    assert table["path"].tolist() == [flip.path for flip in result.worst_flips]
    assert table["swing"].tolist() == [flip.swing for flip in result.worst_flips]


def test_a_benchmark_shows_its_batch_sizes_and_is_a_table_of_stages() -> None:
    result = measured()
    for run in result.runs:
        assert f"<td>{run.end_to_end.images_per_second:,.1f}</td>" in result._repr_html_()
    table = result.to_pandas()
    assert len(table) == sum(len(run.stages) + 1 for run in result.runs)
    whole = table[table["stage"] == "end to end"]
    assert whole["images_per_second"].tolist() == [run.end_to_end.images_per_second for run in result.runs]


def test_a_check_shows_its_kinds_and_is_a_table_of_paths() -> None:
    result = checked(finding("exact_duplicate", ("<a>", "b")), finding("junk", ("c",)))
    shown = result._repr_html_()
    assert "<td>warning</td><td>exact_duplicate</td><td>1</td><td>the same file more than once</td>" in shown
    table = result.to_pandas()
    assert table["path"].tolist() == ["<a>", "b", "c"]
    assert table["finding"].tolist() == [0, 0, 1]
    assert "Nothing was found." in checked()._repr_html_()


def test_a_quantization_shows_the_gates_words_and_is_a_table_of_methods() -> None:
    table = RESULT.to_pandas()
    assert table["method"].tolist() == [trial.method for trial in RESULT.trials]
    assert table["passed"].tolist() == [trial.passed for trial in RESULT.trials]
    failed = [trial for trial in RESULT.trials if trial.verdict is None]
    assert table[table["top1"].isna()]["method"].tolist() == [trial.method for trial in failed]
    for trial in RESULT.trials:
        assert f"<td>{trial.method}</td><td>{'passed' if trial.passed else 'failed'}</td>" in RESULT._repr_html_()


def test_an_evaluation_draws_what_it_is_asked_for() -> None:
    result = evaluation({(3, 8): 2})
    svg = result.plot()._repr_svg_()
    assert svg == result.plot("confusion")._repr_svg_()
    counts = [count for row in result.confusion for count in row if count]
    # A count is the last thing on its line; a label of a class is drawn twice, once for each axis.
    drawn = re.findall(r">([\d,]+)</text>", svg)
    assert sorted(drawn) == sorted([*(f"{count:,}" for count in counts), *2 * result.labels])
    bins = (ConfidenceBin(low=0.0, high=1.0, images=4, confidence=0.5, accuracy=0.5),)
    assert "confidence (%)" in msgspec.structs.replace(result, calibration=bins).plot("reliability")._repr_svg_()
    with pytest.raises(UsageError, match="no figures for a chart of 'scores'"):
        msgspec.structs.replace(result, curves=()).plot("scores")
    with pytest.raises(UsageError, match="no figures for a chart of 'confusion'"):
        msgspec.structs.replace(result, seen=0).plot()


def test_many_classes_are_drawn_as_the_pairs_that_are_confused_most() -> None:
    pair = ConfusedPair(label="wolf", predicted="husky", count=3, support=9, examples=())
    labels = tuple(map(str, range(51)))
    result = msgspec.structs.replace(evaluation({}), labels=labels, confused=(pair,))
    assert "wolf, taken for husky" in result.plot()._repr_svg_()


def test_a_comparison_draws_both_accuracies_and_its_difference_against_the_margin() -> None:
    result = compared(60, 0.6)
    svg = result.plot()._repr_svg_()
    for words in ("first", "second", "second less first", "margin"):
        assert f">{words}</text>" in svg
    unseen = msgspec.structs.replace(result, difference=None)
    with pytest.raises(UsageError, match="no image was seen by both models"):
        unseen.plot()


def test_a_benchmark_draws_the_chart_of_its_page() -> None:
    assert measured().plot().__html__() in render_benchmark(measured())


def test_a_check_draws_the_images_of_each_class() -> None:
    svg = checked().plot()._repr_svg_()
    assert all(f">{name}<" in svg for name in ("ant", "bee"))
    many = msgspec.structs.replace(checked(), classes={f"class {number}": 1 + number for number in range(60)})
    assert "median, 31" in many.plot()._repr_svg_()
    with pytest.raises(UsageError, match="no image of these data has a class"):
        msgspec.structs.replace(checked(), classes={}).plot()


def test_a_quantization_draws_its_methods_against_the_gate_and_its_layers() -> None:
    svg = RESULT.plot()._repr_svg_()
    assert all(f">{trial.method}<" in svg for trial in RESULT.trials if trial.verdict)
    assert "largest loss that passes" in svg
    assert "Error by layer" in RESULT.plot("layers")._repr_svg_()
    with pytest.raises(UsageError, match="no figures for a chart of 'layers'"):
        msgspec.structs.replace(RESULT, layers=()).plot("layers")
    with pytest.raises(UsageError, match="no figures for a chart of 'methods'"):
        msgspec.structs.replace(RESULT, trials=()).plot()


def test_a_history_shows_its_epochs_and_is_a_table_of_them_and_curves() -> None:
    history = History(training_log(3))
    shown = history._repr_html_()
    for row in history:
        assert f"<td>{row.train_loss:.4f}</td>" in shown
    assert history.to_pandas()["train_loss"].tolist() == [row.train_loss for row in history]
    assert "at epoch 3" in history.plot()._repr_svg_()
    assert "<td>" not in History()._repr_html_()
    with pytest.raises(UsageError, match="no epoch of this run was validated"):
        History().plot()
