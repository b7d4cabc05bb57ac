from pathlib import Path

import numpy as np

from tests.support.samples import CLASSES, labelled
from tests.train.samples import small_recipe
from xception.bundle import open_bundle
from xception.models.network import build
from xception.train.result import empty_bundle, write_result
from xception.weights import read_weights


def test_an_empty_bundle_is_of_the_recipes_network_and_the_datas_classes() -> None:
    recipe = small_recipe()
    bundle = empty_bundle(recipe, labelled(3))
    assert bundle.labels.names == CLASSES
    assert (bundle.model.network.num_classes, bundle.model.network.in_channels) == (len(CLASSES), 1)
    assert bundle.model.lineage[0].settings["recipe"] == recipe.digest


def test_what_is_written_can_be_opened_and_holds_the_weights(tmp_path: Path) -> None:
    bundle = empty_bundle(small_recipe(), labelled(3))
    network = build(bundle.model.network.architecture())
    write_result(tmp_path / "bundle", bundle, network, {}, np.zeros(0, np.uint64))
    stored = read_weights(open_bundle(tmp_path / "bundle", verify=True).main_file)
    assert all(np.array_equal(stored[name], tensor) for name, tensor in network.tensors().items())
