import pytest

from tests.support.samples import labelled
from tests.train.samples import with_unreachable
from xception.errors import EnvironmentFault, InputError
from xception.train.damaged import unreadable, without


def test_damaged_images_are_found_counted_and_left_out() -> None:
    source, notes = labelled(9, broken=(2, 5)), []
    faults = unreadable(source)
    assert faults.keys() == {2, 5}
    kept = without(source, faults, notes.append)
    assert [item.key for item in kept] == [f"{index:03d}" for index in (0, 1, 3, 4, 6, 7, 8)]
    assert notes[0].startswith("2 of 9 training images cannot be read and are left out: 002: ")


def test_an_image_whose_server_does_not_answer_is_not_left_out() -> None:
    with pytest.raises(EnvironmentFault, match="503"):
        unreadable(with_unreachable(4, 2))


def test_whole_images_are_all_kept_without_a_word() -> None:
    source, notes = labelled(3), []
    assert without(source, unreadable(source), notes.append) is source
    assert notes == []


def test_data_of_damaged_images_only_are_refused() -> None:
    source = labelled(2, broken=(0, 1))
    with pytest.raises(InputError, match="none of the 2 training images can be read"):
        without(source, unreadable(source), print)
