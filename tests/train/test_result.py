from pathlib import Path

import numpy as np

from tests.samples import CLASSES, labelled
from tests.train.samples import small_recipe
from xception.bundle import open_bundle
from xception.models.network import build
from xception.train.result import described, written
from xception.weights import read_weights


def test_a_described_bundle_is_of_the_recipes_network_and_the_datas_classes() -> None:
    recipe = small_recipe()
    bundle = described(recipe, labelled(3))
    assert bundle.labels.names == CLASSES
    assert (bundle.model.network.num_classes, bundle.model.network.in_channels) == (len(CLASSES), 3)
    assert bundle.model.lineage[0].settings["recipe"] == recipe.digest


def test_what_is_written_can_be_opened_and_holds_the_weights(tmp_path: Path) -> None:
    bundle = described(small_recipe(), labelled(3))
    network = build(bundle.model.network.architecture())
    written(tmp_path / "bundle", bundle, network, {})
    stored = read_weights(open_bundle(tmp_path / "bundle", verify=True).main_file)
    assert all(np.array_equal(stored[name], tensor) for name, tensor in network.tensors().items())
