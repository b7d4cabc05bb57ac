"""The networks of face_classification, as its own files tell of them."""

from xception.arch.variants import VARIANTS
from xception.convert.catalog import CATALOG
from xception.convert.face_classification import FACE_ENTRIES
from xception.preprocess import Squash


def test_every_entry_is_in_the_catalog() -> None:
    assert {entry.name for entry in FACE_ENTRIES} <= CATALOG.keys()


def test_faces_are_squashed_to_the_own_size_of_their_network() -> None:
    for entry in FACE_ENTRIES:
        px = VARIANTS[entry.variant].input_px
        assert entry.preprocess.resize == Squash(width_px=px, height_px=px)


def test_every_state_of_the_training_has_its_classes_and_the_accuracy_in_its_name() -> None:
    snapshots = [entry for entry in FACE_ENTRIES if entry.snapshot_of]
    assert len(snapshots) == 26
    for entry in snapshots:
        assert entry.labels == CATALOG["mini_xception.fer2013"].labels
        assert entry.file is not None
        assert entry.file.endswith(f"-{entry.reported[0].top1:.2f}.hdf5")


def test_every_file_is_known_by_all_digits_of_a_checksum_of_its_own() -> None:
    digests = [entry.digest.hex for entry in FACE_ENTRIES if entry.digest]
    assert len(set(digests)) == len(FACE_ENTRIES)
    assert {len(digest) for digest in digests} == {64}
