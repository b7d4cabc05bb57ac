"""The pages that `make parity` writes hold the texts of today's writers."""

from parity import preprocess, report


def test_the_page_on_parity_has_its_writers_words() -> None:
    page = report.PAGE.read_text(encoding="utf-8")
    assert page.startswith(report.HEAD)
    assert report.NOTES in page


def test_the_page_on_preprocessing_has_its_writers_words() -> None:
    assert preprocess.HEAD in preprocess.PAGE.read_text(encoding="utf-8")
