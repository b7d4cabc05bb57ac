import re
import sys
from dataclasses import replace

import msgspec
import pytest

from tests.report.browser import Page, outside_references
from tests.report.pages import evaluation, mistake, with_evaluation
from xception.bundle import Bundle
from xception.errors import MissingExtra
from xception.intervals import Interval
from xception.report.document import Report
from xception.report.heading import Card, Heading, Origin
from xception.report.html import MAX_FAILURES, megabytes, percent_text, rate_text, render, strips
from xception.tasks.evaluation import FailedImage

HOSTILE = '<script>alert("1")</script>'


def test_the_page_is_well_formed_and_fetches_nothing(html: str) -> None:
    page = Page(html)
    assert page.open == []
    assert outside_references(html) == []
    assert not {tag for tag, _ in page.elements} & {"script", "link", "iframe", "object", "embed", "base"}
    assert "default-src 'none'" in html


@pytest.mark.parametrize("leak", ['<img src="//host/a.png">', '<a href="https://host">', "<style>@import 'a'</style>"])
def test_a_reference_to_the_outside_would_be_noticed(html: str, leak: str) -> None:
    assert outside_references(html + leak)


def test_the_same_report_gives_the_same_text_and_another_does_not(brief: Report) -> None:
    html = render(brief)
    assert render(brief) == html
    assert render(replace(brief, heading=replace(brief.heading, title="another"))) != html


def test_ids_are_unique_and_labels_refer_to_them(html: str) -> None:
    elements = Page(html).elements
    ids = [attrs["id"] for _, attrs in elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert {attrs["aria-labelledby"] for _, attrs in elements if "aria-labelledby" in attrs} <= set(ids)


def test_images_have_a_text_and_table_headers_a_scope(report: Report, html: str) -> None:
    elements = Page(html).elements
    images, headers = ([attrs for tag, attrs in elements if tag == wanted] for wanted in ("img", "th"))
    assert len(images) == 2 * len(report.mistakes)
    assert all(attrs["alt"] for attrs in images)
    assert headers
    assert all(attrs["scope"] in {"row", "col", "colgroup"} for attrs in headers)


def test_every_figure_of_every_form_is_on_the_page(report: Report, html: str) -> None:
    text = Page(html).text
    for form in report.forms:
        result, run, model = form.evaluation, form.run, form.bundle.model
        assert form.name in text
        assert model.digest in text
        assert megabytes(form.bundle.size_bytes) in text
        assert result.top1
        assert f"{100 * result.top1.low:.2f}\u2013{percent_text(result.top1.high)}" in text
        assert percent_text(result.top1.value) in text
        assert f"{result.seen} seen{result.failed} failed{result.total} total" in text
        for speed in (*run.stages.values(), run.end_to_end):
            assert f"{rate_text(speed.images_per_second)}{rate_text(speed.low)}\u2013{rate_text(speed.high)}" in text
        assert rate_text(run.bound_images_per_second) in text
        assert percent_text(run.efficiency) in text
        assert f"{run.latency_ms.p50:.2f} ms" in text
        assert f"{run.batch}{run.images} images" in text
        if model.agreement:
            assert f"{model.agreement.max_abs_diff:.1e}" in text
            assert f"{model.agreement.mean_abs_diff:.1e}" in text
            assert f"{model.agreement.relative_diff:.1e}" in text
            assert f"{percent_text(model.agreement.top1_agreement)}of {model.agreement.samples}" in text
        for step in model.lineage:
            for key, value in (step.tools | step.settings).items():
                assert key in text
                assert str(value) in text


def test_cards_epochs_mistakes_and_environment_are_on_the_page(report: Report, html: str) -> None:
    text = Page(html).text
    for card in report.heading.cards:
        assert f"{card.label}{card.value}{card.note}" in text
    for point in report.history:
        figures = f"{point.epoch}{point.train_loss:.4f}{point.validation_loss:.4f}{percent_text(point.validation_top1)}"
        assert figures in text
    for one in report.mistakes:
        assert f"true{one.label}predicted{one.predicted} at {percent_text(one.probability)}" in text
        assert one.key in text
    for key, value in report.environment.items():
        assert re.search(rf"{key}{value}\s", text)


@pytest.mark.parametrize(("passed", "words"), [(True, "✓ passed"), (False, "✗ failed"), (None, None)])
def test_the_gates_verdict_is_said_in_words(brief: Report, passed: bool | None, words: str | None) -> None:
    form = brief.forms[0]
    model = msgspec.structs.replace(form.bundle.model, passed_gate=passed)
    judged = replace(form, bundle=Bundle(path=form.bundle.path, model=model, labels=form.bundle.labels))
    text = Page(render(replace(brief, forms=(judged,)))).text
    assert [verdict for verdict in ("✓ passed", "✗ failed") if verdict in text] == ([words] if words else [])


def test_an_option_of_the_command_is_not_parted_from_its_dashes(brief: Report) -> None:
    command = "xception train 'a  b' --set epochs=1 -v"
    heading = replace(brief.heading, origin=replace(brief.heading.origin, command=command))
    html = render(replace(brief, heading=heading))
    assert command in Page(html).text
    assert re.findall(r'<span class="option">(.*?)</span>', html) == ["--set", "-v"]


def test_hostile_texts_are_shown_and_not_run(brief: Report) -> None:
    failed = (FailedImage(path=HOSTILE, reason=HOSTILE),)
    page = replace(
        with_evaluation(brief, evaluation({(0, 1): 1}, (HOSTILE, "b"), failed)),
        heading=Heading(
            title=HOSTILE,
            conclusion=HOSTILE,
            conditions=HOSTILE,
            origin=Origin(versions={HOSTILE: HOSTILE}, date=HOSTILE, command=HOSTILE),
            cards=(Card(label=HOSTILE, value=HOSTILE, note=HOSTILE),),
        ),
        mistakes=(replace(mistake("0001"), key='" onerror="alert(1)', label=HOSTILE, predicted="{{ 7 * 7 }}"),),
        environment={HOSTILE: HOSTILE},
    )
    html = render(page)
    parsed = Page(html)
    assert not [attrs for tag, attrs in parsed.elements if tag == "script" or "onerror" in attrs]
    assert parsed.text.count(HOSTILE) >= 15
    assert "{{ 7 * 7 }}" in parsed.text


def test_the_heat_map_holds_every_count_and_gives_way_to_a_list_for_many_classes(brief: Report) -> None:
    wrong = {(7, 2): 5}
    cells = re.findall(r'<td class="(?:right|wrong)[^>]*>(\d*)</td>', render(with_evaluation(brief, evaluation(wrong))))
    assert [int(cell or 0) for cell in cells] == [count for row in evaluation(wrong).confusion for count in row]

    many = tuple(f"class {index:02d}" for index in range(51))
    html = render(with_evaluation(brief, evaluation(wrong, many)))
    assert 'class="right' not in html
    assert '<th scope="row">class 07</th><td>class 02</td><td class="number">5</td><td class="number">36</td>' in html


def test_a_model_without_mistakes_is_said_to_have_none(brief: Report) -> None:
    perfect = replace(with_evaluation(brief, evaluation({})), mistakes=())
    assert "No image that could be read is classified wrongly" in render(perfect)


def test_mistakes_that_are_not_shown_are_not_denied(brief: Report) -> None:
    html = render(replace(brief, mistakes=()))
    assert "The most confident mistakes" not in html
    assert "classified wrongly" not in html


def test_unreadable_images_are_listed_with_their_reason_up_to_a_limit(brief: Report, html: str) -> None:
    failures = tuple(FailedImage(path=f"bad/{index:03d}.jpg", reason="truncated") for index in range(MAX_FAILURES + 5))
    text = Page(render(with_evaluation(brief, evaluation({}, failures=failures)))).text
    assert "25 of 385 images could not be read" in text
    assert "bad/019.jpg" in text
    assert "bad/020.jpg" not in text
    assert "and 5 more" in text
    assert "could not be read;" not in Page(html).text


def test_an_evaluation_of_nothing_readable_is_shown_without_figures(brief: Report) -> None:
    failures = (FailedImage(path="a.png", reason="not an image"),)
    empty = msgspec.structs.replace(
        evaluation({}, ("a", "b"), failures),
        total=1,
        seen=0,
        top1=None,
        top5=None,
        loss=None,
        confusion=((0, 0), (0, 0)),
    )
    text = Page(render(replace(with_evaluation(brief, empty), mistakes=()))).text
    assert "0 seen1 failed1 total" in text
    assert "no images" in text
    assert "classified wrongly" not in text


def test_a_model_that_was_not_trained_here_has_no_training_section(brief: Report, html: str) -> None:
    assert "The figures of every epoch" in html
    assert "The figures of every epoch" not in render(replace(brief, history=()))


def intervals(report: Report) -> list[Interval | None]:
    return [form.evaluation.top1 for form in report.forms]


def test_intervals_share_one_axis(report: Report) -> None:
    drawn = [strip for strip in strips(intervals(report)) if strip]
    assert min(strip.left for strip in drawn) == 0
    assert max(strip.left + strip.width for strip in drawn) == pytest.approx(100)
    assert all(strip.left < strip.centre < strip.left + strip.width for strip in drawn)


def test_without_intervals_there_is_no_axis(report: Report) -> None:
    unknown = with_evaluation(report, msgspec.structs.replace(evaluation({}), top1=None))
    assert strips(intervals(unknown)[:1]) == (None,)
    assert strips(intervals(unknown))[0] is None


def test_figures_are_written_for_people() -> None:
    assert percent_text(0.98889) == "98.89\u00a0%"
    assert percent_text(None) == "\u2013"
    assert megabytes(2_483_112) == "2.48\u00a0MB"
    assert [rate_text(value) for value in (1234.5, 99.96, 0.123456)] == ["1,234", "100", "0.123"]


def test_a_missing_package_is_named_with_the_command_that_installs_it(
    report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingExtra, match=r"pip install .*\[report\]'"):
        render(report)
