"""CONTRIBUTING and the import contract say the same."""

import pytest

from pages import contributing
from pages.contributing import CONTRIBUTING, floors, purpose, updated
from tests.rules.test_imports import layers


def test_the_map_shows_the_contract_from_the_top_floor_down() -> None:
    assert [set(rooms) for _, rooms in floors()] == layers()
    assert [floor for floor, _ in floors()] == list(range(len(layers()), 0, -1))


def test_every_room_says_what_lives_there() -> None:
    assert all(purpose(room) for _, rooms in floors() for room in rooms)


def test_a_room_that_moves_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    text = CONTRIBUTING.read_text(encoding="utf-8")
    assert updated(text) == text
    monkeypatch.setattr(contributing, "floors", lambda: [(1, ["cli"])])
    assert updated(text) != text
