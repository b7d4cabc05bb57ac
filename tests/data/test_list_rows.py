import pytest

from xception.data.list_rows import parse_lines, parse_rows
from xception.errors import InputError


@pytest.mark.parametrize(
    ("line", "number"),
    [
        ("a.png", 2),
        ("a.png -1", 2),
        ("a.png 1.5", 2),
        ("a.png cat", 2),
        ("7", 2),
        ("a.png ٣", 2),
        ("a 99999999", 2),
        ("a\0b 1", 2),
    ],
)
def test_a_line_of_another_form_is_named_by_its_number(line: str, number: int) -> None:
    with pytest.raises(InputError, match=rf"line {number} of L is .*expected a path, a space and a class index"):
        parse_rows(f"ok.png 1\n{line}\n", "L")


def test_an_empty_list_is_refused() -> None:
    with pytest.raises(InputError, match="L is empty"):
        parse_rows(" \n\n", "L")


def test_an_uncertain_cell_is_named_where_a_label_file_tells_the_columns() -> None:
    rows, bad = parse_lines("path,ant,bee\na.png,1,0\nb.png,-1,0\n", ["ant", "bee"])
    assert [row.label for row in rows] == [("ant",)]
    assert [line.number for line in bad] == [3]
