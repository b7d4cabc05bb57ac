"""One short run, from beginning to end."""

from pathlib import Path

import pytest

from tests.support.samples import write_folder
from xception.data.augment import Augment
from xception.preprocess import Preprocess, Squash
from xception.train.recipe import Recipe
from xception.train.settings import DataSettings, ModelSettings, OptimSettings
from xception.train.trainer import train_network


@pytest.fixture(scope="package")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    root = tmp_path_factory.mktemp("data")
    for split in ("train", "val"):
        write_folder(root / split, 4)
    return Recipe(
        model=ModelSettings(variant="mini_xception", width=0.5, drop_rate=0.2),
        data=DataSettings(source=str(root)),
        preprocess=Preprocess(resize=Squash(width_px=32, height_px=32)),
        augment=Augment(rotate_degrees=5, flip=True),
        optim=OptimSettings(name="adamw", lr=0.02),
        epochs=3,
        batch_size=10,
    )


@pytest.fixture(scope="package")
def whole(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run from beginning to end."""
    out = tmp_path_factory.mktemp("whole") / "run"
    train_network(recipe, out=out)
    return out
