import msgspec
import pytest
from PIL import Image

from tests.report.browser import Page, outside_references
from tests.support.samples import picture
from xception.checks.check import Check
from xception.checks.findings import FINDING_KINDS, Finding, finding
from xception.report.check import MAX_PICTURES, MAX_SHOWN, groups, render_check, shown_paths

HOSTILE = '<script>alert("1")</script>.jpg'

FINDINGS = (
    *(finding("truncated", [f"ant/{index:02d}.jpg"], "it ends early") for index in range(MAX_SHOWN + 3)),
    finding("conflicting_labels", ["ant/a.jpg", HOSTILE], "labelled ant and bee"),
    finding("cmyk", ["bee/cmyk.jpg"]),
    finding("exact_duplicate", [f"bee/copy{index}.jpg" for index in range(MAX_PICTURES + 2)]),
)


def checked(*findings: Finding) -> Check:
    return Check(
        data="faces:train",
        not_in=("faces:test",),
        total=1204,
        seen=1200,
        failed=4,
        classes={"ant": 1200, "bee": 4, "<cat>": 0},
        formats={"JPEG": 1200},
        modes={"RGB": 1199, "CMYK": 1},
        counts={},
        findings=findings,
    )


def pictures(*paths: str) -> dict[str, Image.Image]:
    return {path: picture(20, 20, index) for index, path in enumerate(paths)}


@pytest.fixture(scope="module")
def html() -> str:
    return render_check(checked(*FINDINGS), pictures("ant/a.jpg", HOSTILE, "bee/copy0.jpg", "bee/copy5.jpg"))


def test_the_page_is_well_formed_and_fetches_nothing(html: str) -> None:
    page = Page(html)
    assert page.open == []
    assert outside_references(html) == []
    assert "script" not in {tag for tag, _ in page.elements}
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))


def test_every_kind_stands_in_the_table_and_has_its_section(html: str) -> None:
    for kind in ("truncated", "conflicting_labels", "cmyk", "exact_duplicate"):
        assert f'href="#{kind}"' in html
        assert f'<h2 id="{kind}">' in html
        assert FINDING_KINDS[kind].meaning in html
    assert ">CMYK</h2>" in html
    assert ">Exact duplicate</h2>" in html


def test_counts_are_on_the_page(html: str) -> None:
    for text in ("1,204", "1,200 sound + 4 failed", "JPEG 1,200", "CMYK 1", "&lt;cat&gt;"):
        assert text in html


def test_pictures_stand_beside_what_was_found_as_far_as_there_are_any(html: str) -> None:
    images = [attrs["alt"] for tag, attrs in Page(html).elements if tag == "img"]
    assert images == ["Image ant/a.jpg", f"Image {HOSTILE}", "Image bee/copy0.jpg"]
    assert "and 2 more" in html
    assert "ant/00.jpg" in html


def test_of_many_findings_the_first_are_shown_and_all_are_counted(html: str) -> None:
    first = groups(checked(*FINDINGS))[0]
    assert (first.total, len(first.findings)) == (MAX_SHOWN + 3, MAX_SHOWN)
    assert f"{MAX_SHOWN + 3} found, the first {MAX_SHOWN} are shown" in html
    assert f"ant/{MAX_SHOWN:02d}.jpg" not in html


def test_only_pictures_that_are_shown_are_asked_for() -> None:
    paths = list(shown_paths(checked(*FINDINGS)))
    assert len(paths) == MAX_SHOWN + 2 + 1 + MAX_PICTURES


def test_a_clean_set_says_so() -> None:
    html = render_check(checked(), {})
    assert "Nothing is wrong with this data set." in html
    assert "<img" not in html


def test_a_thousand_classes_are_only_counted() -> None:
    many = msgspec.structs.replace(checked(), classes={f"class {index}": 1 for index in range(1000)})
    html = render_check(many, {})
    assert "1000 classes" in html
    assert "class 999" not in html
