import pytest

from benchmarks.batch import MAX_GROWTH_MIB, require_flat


def test_memory_that_grows_with_the_list_in_a_driver_or_a_worker_is_noticed() -> None:
    require_flat((220, 240), (220 + MAX_GROWTH_MIB, 230))
    for many in ((221 + MAX_GROWTH_MIB, 240), (220, 241 + MAX_GROWTH_MIB)):
        with pytest.raises(SystemExit, match="memory grows with the list of images"):
            require_flat((220, 240), many)
