import pytest

from xception.data.list_rows import ListRow, parse_rows
from xception.data.list_table import read_table
from xception.errors import InputError


def test_objects_of_json_are_the_lines_of_a_table() -> None:
    table = read_table('{"image": "a.png", "label": 3, "group": 7}\n\n{"image": "b.png", "label": 0, "note": null}\n')
    assert table
    assert (table.path, list(table.head)) == ("image", ["image", "label", "group", "note"])
    assert (table.column("Group"), table.column("note"), table.column("who")) == (["7", ""], ["", ""], None)
    assert [line.number for line in table.lines] == [1, 3]


def test_a_list_in_json_holds_several_classes_even_if_it_is_one() -> None:
    classes = {"a.png": '["ant"]', "b.png": "[]", "c.png": '["ant", "b c"]'}
    text = "".join(f'{{"path": "{path}", "label": {own}}}\n' for path, own in classes.items())
    assert parse_rows(text, "L") == [
        ListRow("a.png", ("ant",)),
        ListRow("b.png", ()),
        ListRow("c.png", ("ant", "b c")),
    ]


@pytest.mark.parametrize("line", ['{"path": "b.png"', "[1]", '{"label": "ant"}', '{"path": "b.png", "label": null}'])
def test_a_line_of_json_without_a_path_or_a_class_is_named_by_its_number(line: str) -> None:
    with pytest.raises(InputError, match="line 2 of L is "):
        parse_rows(f'{{"path": "a.png", "label": "ant"}}\n{line}\n', "L")
