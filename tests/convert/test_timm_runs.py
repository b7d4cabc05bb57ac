"""The arguments of timm's training script, in a checkpoint or next to it, are built, or refused by name."""

import argparse
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from tests.convert.checkpoints import drawn, write_torch
from tests.convert.run_configs import TIMM
from xception.convert.conversion import Conversion, convert_checkpoint
from xception.convert.stated import StatedFacts
from xception.convert.timm_stated import argument_facts
from xception.errors import InputError
from xception.preprocess import CenterCrop, ShorterSide


def timm_run(folder: Path, **changes: Any) -> Conversion:
    """A run's folder as timm's training script leaves it."""
    (folder / "args.yaml").write_text(yaml.safe_dump({**TIMM, **changes}))
    (folder / "summary.csv").write_text("epoch,train_loss\n0,1.0\n")
    return convert_checkpoint(write_torch(folder / "model_best.pth.tar", drawn("timm_xception41")))


def test_the_arguments_in_a_runs_folder_decide_network_and_images(tmp_path: Path) -> None:
    plain = timm_run(tmp_path).model
    assert plain.preprocess.output_px == (299, 299)
    made = timm_run(tmp_path, gp="max", img_size=224, crop_pct=1.0, mean=[0.5], interpolation="bilinear").model
    assert (made.network.pooling, made.preprocess.interpolation) == ("max", "bilinear")
    assert made.preprocess.resize == ShorterSide(px=224)
    assert made.preprocess.crop == CenterCrop(width_px=224, height_px=224)
    # What is not stated is the network's own.
    assert (made.preprocess.mean, made.preprocess.std) == ((0.5,) * 3, plain.preprocess.std)
    smaller = timm_run(tmp_path, img_size=224).model.preprocess
    assert smaller.resize == ShorterSide(px=248)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "xception65"}, "states the network timm_xception65"),
        ({"num_classes": 4}, "states num_classes 4, but the tensors have 11"),
        ({"model_kwargs": {"block_size": 3}}, "`block_size`"),
        ({"bn_eps": 1e-5}, "states bn_eps"),
        ({"interpolation": "random"}, r"the preprocessing in args\.yaml next to it cannot be used"),
        ({"img_size": "large"}, "that timm's training script does not take"),
    ],
)
def test_what_a_run_states_and_is_not_built_is_refused(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        timm_run(tmp_path, **change)


def test_the_arguments_inside_of_a_checkpoint_go_first(tmp_path: Path) -> None:
    (tmp_path / "args.yaml").write_text(yaml.safe_dump({**TIMM, "gp": "max"}))
    own = argparse.Namespace(**{**TIMM, "gp": "avgmax", "input_size": (3, 96, 96), "mean": [0.1, 0.2, 0.3]})
    state = {name: torch.tensor(value) for name, value in drawn("timm_xception41").items()}
    torch.save({"state_dict": state, "args": own}, tmp_path / "last.pth.tar")
    model = convert_checkpoint(tmp_path / "last.pth.tar").model
    assert (model.network.pooling, model.preprocess.output_px) == ("avgmax", (96, 96))
    assert model.preprocess.mean == (0.1, 0.2, 0.3)


def test_the_images_of_published_weights_are_those_of_their_tag() -> None:
    def resize(model: str) -> object:
        found: StatedFacts = argument_facts({**TIMM, "model": model, "img_size": 256}, "it")
        assert found.preprocess is not None
        return found.preprocess.resize

    assert resize("xception65.ra3_in1k") == ShorterSide(px=272)
    assert resize("xception65.tf_in1k") == ShorterSide(px=283)
