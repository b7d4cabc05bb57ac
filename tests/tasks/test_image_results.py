from pathlib import Path

import pandas as pd
import pytest

from xception.errors import InputError, UsageError
from xception.tasks.image_results import TABLE_FORMATS, ImageResult, read_image_results, result_file, table_format

ROWS = [
    ImageResult(
        key="a, b\n.png",
        label="ant",
        target=0,
        predicted="bee",
        score=0.1 + 0.2,
        labels=("bee", 'c"t'),
        indices=(1, 2),
        scores=(0.1 + 0.2, 1e-9),
        logits=(1.5, -2.25, 0.1),
        damage="Corrupt JPEG data: premature end of data segment",
    ),
    ImageResult(key="b.png", label="bee", target=1, failure="the file is empty"),
    ImageResult(key="c.png", predicted="ant", labels=("ant",), indices=(0,), scores=(3.5,)),
]


@pytest.mark.parametrize("form", TABLE_FORMATS)
def test_rows_come_back_to_the_last_bit(form: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{form}"
    with result_file(path) as file:
        for row in ROWS:
            file.add(row)
    assert list(read_image_results(path)) == ROWS


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_the_mark_that_a_spreadsheet_puts_in_front_changes_no_row(form: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{form}"
    with result_file(path) as file:
        for row in ROWS:
            file.add(row)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert list(read_image_results(path)) == ROWS


def test_a_table_without_keys_is_refused_with_its_columns(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("key;label\na.png;ant\n")
    with pytest.raises(InputError, match="its first line names the columns 'key;label', and none is 'key'"):
        list(read_image_results(tmp_path / "a.csv"))


def test_pandas_reads_every_format(tmp_path: Path) -> None:
    for form, read in (
        ("parquet", pd.read_parquet),
        ("csv", pd.read_csv),
        ("jsonl", lambda p: pd.read_json(p, lines=True)),
    ):
        with result_file(tmp_path / f"a.{form}") as file:
            for row in ROWS:
                file.add(row)
        table = read(tmp_path / f"a.{form}")
        assert list(table.columns) == list(ImageResult.__struct_fields__)
        assert table["key"].tolist() == [row.key for row in ROWS]
        assert table["failure"].notna().tolist() == [False, True, False]


def test_a_file_that_is_not_finished_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), result_file(tmp_path / "a.csv") as file:
        file.add(ROWS[0])
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "content"), [("a.jsonl", b"{}\n"), ("a.csv", b"x,y\n1,2\n"), ("a.parquet", b"PAR1"), ("a.jsonl", b"no\n")]
)
def test_what_holds_no_results_is_refused(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match="holds no results image by image"):
        list(read_image_results(tmp_path / name))


def test_other_endings_are_refused() -> None:
    assert table_format(Path("a.CSV")) == "csv"
    with pytest.raises(UsageError, match=r"expected \.parquet, \.jsonl, \.jsonl\.gz, \.csv"):
        table_format(Path("a.xlsx"))
