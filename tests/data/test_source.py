import pytest

from tests.support.samples import CLASSES, labelled


def test_a_source_is_a_sequence_with_a_name_and_classes() -> None:
    source = labelled(9)
    assert (source.name, source.classes, len(source)) == ("pictures", CLASSES, 9)
    assert [source[index] for index in range(9)] == list(source)
    with pytest.raises(IndexError):
        source[9]
