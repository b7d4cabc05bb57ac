"""Tensors next to a network's are dropped with a word, or named as the reason why it cannot be taken."""

import pytest

from tests.convert.checkpoints import prefixed
from tests.convert.training_files import ALIGNED, DROPPED, EXPLAINED, FEATURES_ONLY, HEADLESS, diagnosed
from xception.convert.known_extras import KNOWN_EXTRAS, KnownExtra, known_extra, stranger
from xception.convert.naming.schemes import published_variants, upstream_names


@pytest.mark.parametrize("what", DROPPED)
def test_tensors_that_no_logit_depends_on_are_dropped_with_a_word(what: str) -> None:
    told = diagnosed(DROPPED[what])
    assert (told.variant, told.num_classes, told.unexpected, told.remedy) == ("timm_xception", 2, (), "")
    assert any(sentence.startswith(what) for sentence in told.dropped)
    assert "dropped, since no logit depends on them" in told.why


@pytest.mark.parametrize("what", HEADLESS)
def test_a_network_of_another_task_gives_its_features(what: str) -> None:
    told = diagnosed(HEADLESS[what])
    assert (told.num_classes, told.unexpected) == (None, ())
    assert told.dropped[0].startswith(what)
    assert told.remedy == ""
    assert "answers with embeddings; for a new classifier of K classes, pass --new-head K" in told.why


@pytest.mark.parametrize("prefix", ["", "encoder.model."])
def test_the_flattened_names_of_timm_s_feature_networks_are_understood(prefix: str) -> None:
    told = diagnosed(prefixed(FEATURES_ONLY, prefix))
    assert (told.variant, told.num_classes, told.matched) == ("timm_xception65", None, len(ALIGNED))


@pytest.mark.parametrize("words", EXPLAINED)
def test_what_cannot_be_taken_is_named_for_what_it_is(words: str) -> None:
    told = diagnosed(EXPLAINED[words])
    assert told.variant is None
    assert words in told.why


@pytest.mark.parametrize(("source", "variant"), published_variants())
def test_no_tensor_of_a_network_is_an_extra_or_a_network_of_others(source: str, variant: str) -> None:
    names = [there.name for there in upstream_names(source, variant).values()]
    assert [name for name in names if known_extra(name)] == []
    assert stranger(names) is None


@pytest.mark.parametrize("row", KNOWN_EXTRAS, ids=lambda row: row.what)
def test_an_example_is_one_of_its_row(row: KnownExtra) -> None:
    assert known_extra(row.example) is row


@pytest.mark.parametrize("row", KNOWN_EXTRAS, ids=lambda row: row.what)
def test_a_row_has_a_file_that_shows_it(row: KnownExtra) -> None:
    shown = [*DROPPED.values(), *HEADLESS.values(), *EXPLAINED.values()]
    assert any(known_extra(name.removeprefix("backbone.")) is row for values in shown for name in values)
