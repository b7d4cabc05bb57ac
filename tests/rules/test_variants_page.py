"""The page on variants and the code say the same."""

import re

import pytest

from tests.rules.variants_page import DRAWN, PAGE, PICTURES, pictures, tables, updated
from xception.arch.variants import VARIANTS
from xception.convert.catalog import CATALOG

REMEDY = "run python -m tests.rules.variants_page"


def test_the_drawings_are_what_the_specifications_give() -> None:
    assert {path: path.read_text(encoding="utf-8") for path in PICTURES.glob("*")} == pictures(), REMEDY


def test_the_tables_are_what_the_code_derives() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert updated(text) == text, REMEDY


@pytest.mark.parametrize("fact", ["22,855,952", "13.958", "dw BN ReLU pw", "341 to 299"])
def test_a_wrong_table_would_be_noticed(fact: str) -> None:
    text = PAGE.read_text(encoding="utf-8")
    before, mark, after = text.partition("<!-- differences -->")
    assert fact in after
    wrong = before + mark + after.replace(fact, "wrong", 1)
    assert updated(wrong) != wrong


def test_every_network_and_every_weights_file_is_in_the_tables() -> None:
    for name in ("differences", "operations"):
        assert re.findall(r"^\| `(\w+)`", tables()[name], re.MULTILINE) == list(VARIANTS)
    assert re.findall(r"^\| `([\w.]+)`", tables()["weights"], re.MULTILINE) == list(CATALOG)


def test_no_two_networks_have_the_same_row_unless_depth_or_source_alone_parts_them() -> None:
    rows: dict[str, list[str]] = {}
    for line in tables()["differences"].splitlines()[2:]:
        _, name, facts = line.split("|", 2)
        rows.setdefault(facts, []).append(name.strip(" `"))
    shared = [names for names in rows.values() if len(names) > 1]
    assert shared == [
        ["timm_xception41", "timm_xception65", "timm_xception71"],
        ["ppcls_xception41", "ppcls_xception65", "ppcls_xception71"],
        ["ppcls_xception41_deeplab", "ppcls_xception65_deeplab"],
        ["mindcv_xception", "mindspore_xception"],
        ["mini_xception", "tiny_xception"],
    ]


def test_the_page_names_every_network_and_shows_every_drawing() -> None:
    text = PAGE.read_text(encoding="utf-8").partition("## All differences")[0]
    assert [name for name in VARIANTS if f"`{name}`" not in text] == []
    assert [name for name in DRAWN if f"(pictures/{name}.svg)" not in text] == []
