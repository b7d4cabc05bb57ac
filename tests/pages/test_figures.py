"""The page on evaluation explains every figure of the documents."""

import pytest

from pages.markdown import ROOT
from xception.tasks.compare import Comparison
from xception.tasks.evaluation import Evaluation

PAGE = (ROOT / "docs/reference/evaluation.md").read_text(encoding="utf-8")
IDENTITY = {"bundle", "backend", "data", "total", "seen", "failed", "first", "second"}
"""Fields that say what the figures are of, and the counts, which the page states as a sum."""


@pytest.mark.parametrize("document", [Evaluation, Comparison])
def test_every_figure_is_on_the_page(document: type[Evaluation | Comparison]) -> None:
    fields = [field for field in document.__struct_fields__ if field not in IDENTITY]
    assert len(fields) > 10
    assert [field for field in fields if f"`{field}`" not in PAGE] == []
