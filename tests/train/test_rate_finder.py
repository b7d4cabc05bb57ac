from math import exp, log
from pathlib import Path

import msgspec
import pytest

from tests.support.samples import labelled
from tests.train.samples import small_recipe
from xception.errors import CheckFailed, InputError
from xception.train.rate_finder import (
    LOWEST_RATE,
    MAX_SEARCH_STEPS,
    RATE_SEARCH,
    RateSearch,
    read_rate_search,
    search_rate,
    valley,
    with_rate,
)
from xception.train.recipe import Recipe
from xception.train.settings import OptimSettings
from xception.train.storage import open_storage
from xception.train.trainer import train_network


@pytest.fixture
def recipe() -> Recipe:
    return small_recipe(optim=OptimSettings(name="adamw", lr=0.5))


def test_the_rate_lies_where_the_loss_falls_and_before_it_rises() -> None:
    """A plateau up to 1e-4, a fall up to 1e-1, and a rise; noise that a steepest slope would take for the fall."""
    rates = [10 ** (-6 + 7 * step / 99) for step in range(100)]

    def loss(rate: float) -> float:
        fallen = min(max(log(rate / 1e-4), 0.0), log(1e3))
        return 2.0 - 0.2 * fallen + max(0.0, log(rate / 1e-1))

    losses = [loss(rate) + (0.05 if step == 10 else 0.0) for step, rate in enumerate(rates)]
    assert 1e-3 < valley(rates, losses) < 2e-2


@pytest.mark.parametrize("losses", [[], [1.0, 1.1, 1.2, 1.3], [1.0] * 10, [1.0, 0.99, 0.99]])
def test_a_loss_that_does_not_fall_is_refused(losses: list[float]) -> None:
    with pytest.raises(CheckFailed, match="falls at none"):
        valley([1e-6 * exp(step) for step in range(len(losses))], losses)


def test_the_peak_is_set_whatever_number_of_images_the_rate_is_meant_for() -> None:
    recipe = small_recipe(optim=OptimSettings(lr=0.1, lr_per=256), batch_size=32)
    assert with_rate(recipe, 0.02).optim.lr == pytest.approx(0.02 * 256 / 32)
    assert with_rate(small_recipe(), 0.02).optim.lr == pytest.approx(0.02)


def test_a_run_trains_with_the_found_rate_as_if_its_recipe_named_it(recipe: Recipe, tmp_path: Path) -> None:
    notes: list[str] = []
    source = labelled(40)
    found = train_network(recipe, source, validation=source, out=tmp_path / "found", find_lr=True, on_note=notes.append)
    search = read_rate_search(open_storage(tmp_path / "found"))
    assert search
    assert search.rates[0] == pytest.approx(LOWEST_RATE)
    assert 10 < len(search.rates) == len(search.losses) <= MAX_SEARCH_STEPS
    assert search.rates[0] < search.chosen < search.rates[-1]
    assert search.before == 0.5
    assert str(search) in notes
    named = with_rate(recipe, search.chosen)
    expected = train_network(named, source, validation=source, out=tmp_path / "named")
    assert found.main_file.read_bytes() == expected.main_file.read_bytes()
    assert not (tmp_path / "named" / RATE_SEARCH).exists()


def test_a_resumed_run_keeps_its_rate_and_does_not_search_again(recipe: Recipe, tmp_path: Path) -> None:
    source, out = labelled(40), tmp_path / "run"
    first = with_rate(recipe, 0.003)
    bundle = train_network(first, source, validation=source, out=out)
    assert train_network(recipe, source, validation=source, out=out, find_lr=True, resume=True) == bundle
    with pytest.raises(InputError, match="is not empty; pass --resume"):
        train_network(recipe, source, validation=source, out=out, find_lr=True)


def test_the_search_leaves_the_recipe_but_for_its_rate(recipe: Recipe) -> None:
    found, search = search_rate(recipe, (labelled(40), labelled(4)))
    assert found == with_rate(recipe, search.chosen)
    again, _ = search_rate(recipe, (labelled(40), labelled(4)))
    assert again == found


def test_a_search_that_is_none_is_refused(tmp_path: Path) -> None:
    assert read_rate_search(open_storage(tmp_path)) is None
    (tmp_path / RATE_SEARCH).write_text("[]")
    with pytest.raises(InputError, match="holds no search"):
        read_rate_search(open_storage(tmp_path))


def test_a_search_tells_its_rate_in_a_sentence() -> None:
    search = RateSearch(rates=(1e-6, 0.1), losses=(2.0, 1.0), chosen=0.004, before=0.1)
    assert "the learning rate is 0.004 in place of 0.1" in str(search)
    assert msgspec.json.decode(msgspec.json.encode(search), type=RateSearch) == search
