from xception.convert.weights_entry import LABEL_SETS, WeightsEntry
from xception.labels import imagenet1k
from xception.preprocess import Preprocess


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
    assert {name: len(labels()) for name, labels in LABEL_SETS.items()} == {
        "imagenet1k": 1000,
        "fer2013": 7,
        "imdb": 2,
        "kdef": 7,
    }
    assert LABEL_SETS["imagenet1k"]() is imagenet1k()
