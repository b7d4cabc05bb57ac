"""CONTRIBUTING and the import contract say the same."""

import pytest

from pages import contributing
from pages.contributing import CONTRIBUTING, purpose, updated
from tests.rules.test_imports import layers


def test_the_table_shows_the_contract_from_the_top_layer_down() -> None:
    assert [set(modules) for _, modules in contributing.layers()] == layers()
    assert [number for number, _ in contributing.layers()] == list(range(len(layers()), 0, -1))


def test_every_module_says_what_it_holds() -> None:
    assert all(purpose(module) for _, modules in contributing.layers() for module in modules)


def test_a_module_that_moves_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    text = CONTRIBUTING.read_text(encoding="utf-8")
    assert updated(text) == text
    monkeypatch.setattr(contributing, "layers", lambda: [(1, ["cli"])])
    assert updated(text) != text
