"""A result as a table, by an example of the smallest."""

import pytest

from xception.tables import ResultTable, TableResult


class Counted(TableResult):
    def displayed(self) -> ResultTable:
        return ResultTable(("<a>", "b"), [("<x>", None)], caption="c & d", note="1 < 2")

    def records(self) -> ResultTable:
        return ResultTable(("a", "b"), iter([(1, None), (2, 0.5)]))


def test_a_table_is_displayed_with_nothing_taken_for_markup() -> None:
    assert Counted()._repr_html_() == (
        "<table><caption>c &amp; d</caption><tr><th>&lt;a&gt;</th><th>b</th></tr>"
        "<tr><td>&lt;x&gt;</td><td></td></tr></table><p>1 &lt; 2</p>"
    )


def test_a_data_frame_has_the_rows_of_the_records() -> None:
    frame = Counted().to_pandas()
    assert frame["a"].tolist() == [1, 2]
    assert frame["b"].isna().tolist() == [True, False]


def test_a_result_without_tables_cannot_be_displayed() -> None:
    with pytest.raises(NotImplementedError):
        TableResult()._repr_html_()
