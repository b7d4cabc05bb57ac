"""Arguments that timm's training script keeps next to the weights decide about the network."""

from argparse import Namespace
from pathlib import Path

import pytest
import torch

from tests.convert.checkpoints import drawn
from xception.convert.conversion import convert_checkpoint
from xception.errors import InputError


def state(place: Path, **arguments: object) -> Path:
    tensors = {name: torch.from_numpy(value) for name, value in drawn("timm_xception41").items()}
    given = Namespace(**{"model": "xception41", "gp": None, "lr": 0.1, **arguments})
    torch.save({"epoch": 3, "arch": "xception41", "state_dict": tensors, "args": given}, place)
    return place


def test_the_pooling_of_the_training_is_built(tmp_path: Path) -> None:
    assert convert_checkpoint(state(tmp_path / "a.pth")).model.network.pooling == "avg"
    made = convert_checkpoint(state(tmp_path / "b.pth", gp="max", model_kwargs={"output_stride": 16}))
    assert (made.model.network.pooling, made.model.network.output_stride) == ("max", 16)


def test_arguments_that_are_not_built_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"its training arguments states something.*`depth`"):
        convert_checkpoint(state(tmp_path / "a.pth", model_kwargs={"depth": 3}))
