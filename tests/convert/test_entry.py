import hashlib
from pathlib import Path

import pytest

from xception.convert.entry import LABELS, Digest, WeightsEntry, checksum
from xception.labels import imagenet1k
from xception.preprocess import Preprocess


def test_a_checksum_is_that_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    assert checksum(tmp_path / "file", "sha256") == hashlib.sha256(b"x").hexdigest()
    assert checksum(tmp_path / "file", "md5") == hashlib.md5(b"x").hexdigest()


@pytest.mark.parametrize("digits", [8, 64])
def test_the_first_digits_of_a_checksum_suffice_and_others_do_not(tmp_path: Path, digits: int) -> None:
    (tmp_path / "file").write_bytes(b"x")
    assert Digest("sha256", hashlib.sha256(b"x").hexdigest()[:digits]).fits(tmp_path / "file")
    assert not Digest("sha256", hashlib.sha256(b"y").hexdigest()[:digits]).fits(tmp_path / "file")


def test_a_digest_names_its_kind() -> None:
    assert str(Digest("md5", "0a58e3b7")) == "md5:0a58e3b7"


def test_an_entry_knows_its_variant_and_classes_by_its_name_and_data() -> None:
    entry = WeightsEntry(
        name="mini_xception.mine",
        container="hdf5",
        preprocess=Preprocess(),
        file=None,
        reference=None,
        label_set="imdb",
    )
    assert entry.variant == "mini_xception"
    assert entry.labels.names == ("woman", "man")
    assert entry.num_classes == 2


def test_label_sets_are_of_the_known_sizes() -> None:
    assert {name: len(labels()) for name, labels in LABELS.items()} == {
        "imagenet1k": 1000,
        "fer2013": 7,
        "imdb": 2,
        "kdef": 7,
    }
    assert LABELS["imagenet1k"]() is imagenet1k()
