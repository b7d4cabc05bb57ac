"""The page on variants and the code say the same."""

import re

import pytest

from pages.variants import DRAWN, PAGE, tables, updated
from xception.arch.variants import VARIANTS
from xception.convert.catalog import CATALOG


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
    assert re.findall(r"^\| `([\w.]+)`", tables()["weights"], re.MULTILINE) == [
        name for name, entry in CATALOG.items() if not entry.snapshot_of
    ]


def test_networks_of_equal_rows_differ_in_depth_source_or_first_channels() -> None:
    names_of: dict[str, list[str]] = {}
    for line in tables()["differences"].splitlines()[2:]:
        _, name, facts = line.split("|", 2)
        names_of.setdefault(facts, []).append(name.strip(" `"))
    assert max(map(len, names_of.values())) > 1
    for names in names_of.values():
        specs = [VARIANTS[name] for name in names]
        assert len({(len(spec.blocks), spec.source, spec.stem[0].out_channels) for spec in specs}) == len(specs)


def test_the_page_names_and_shows_a_network_of_every_family() -> None:
    text = PAGE.read_text(encoding="utf-8").partition("## All differences")[0]
    assert [name for name in DRAWN if f"`{name}`" not in text or f"(pictures/{name}.svg)" not in text] == []
