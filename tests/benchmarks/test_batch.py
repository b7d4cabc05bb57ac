import pytest

from benchmarks.batch import MAX_GROWTH_MIB, require_flat, work_s


def test_memory_that_grows_with_the_list_in_a_driver_or_a_worker_is_noticed() -> None:
    require_flat((220, 240), (220 + MAX_GROWTH_MIB, 230))
    for many in ((221 + MAX_GROWTH_MIB, 240), (220, 241 + MAX_GROWTH_MIB)):
        with pytest.raises(SystemExit, match="memory grows with the list of images"):
            require_flat((220, 240), many)


def test_work_that_is_short_beside_the_start_of_its_command_is_refused() -> None:
    assert work_s(24.0, 4.0) == 20.0
    with pytest.raises(SystemExit, match=r"the work took 3\.0 s and the start 4\.0 s, .* name more --images"):
        work_s(7.0, 4.0)
    with pytest.raises(SystemExit, match="name more --images"):
        work_s(23.9, 4.0)
