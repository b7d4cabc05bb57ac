import numpy as np

from xception.tasks.kept_logits import KeptLogits


def test_all_logits_come_back_with_their_places_and_classes() -> None:
    rows = np.random.default_rng(0).normal(size=(5000, 3)).astype(np.float32)
    with KeptLogits() as kept:
        assert kept.read() is None
        for place, row in enumerate(rows):
            kept.add(2 * place, place % 3, row)
        found = kept.read()
    assert found
    assert found.places.tolist() == list(range(0, 10_000, 2))
    assert found.targets.tolist() == [place % 3 for place in range(5000)]
    assert np.array_equal(found.logits, rows)


def test_numbers_may_be_kept_in_full() -> None:
    with KeptLogits("<f8") as kept:
        kept.add(0, 0, np.array([1 / 3]))
        found = kept.read()
    assert found
    assert found.logits[0, 0] == 1 / 3


def test_without_room_there_is_nothing_and_no_error() -> None:
    with KeptLogits(max_bytes=50) as kept:
        for place in range(5):
            kept.add(place, 0, np.zeros(2, np.float32))
        assert kept.read() is None
