"""What lucid states is built, or refused by name."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from parity.ours import draw
from tests.convert.packages import LUCID_CONFIG, LUCID_HEADER, write_lucid
from xception.arch.variants import architecture
from xception.convert.conversion import convert_checkpoint
from xception.convert.diagnosis import diagnose
from xception.convert.naming.rename import rename
from xception.convert.naming.schemes import NAMING_SCHEMES
from xception.convert.ports import LUCID
from xception.convert.readers import read_checkpoint
from xception.convert.selection import WeightsChoice
from xception.errors import InputError, UsageError


def folder(place: Path, config: dict[str, Any]) -> Path:
    place.mkdir()
    write_lucid(place / "model.safetensors")
    (place / "config.json").write_text(json.dumps(config))
    return place


def test_a_file_is_told_by_its_header_and_is_timms_network(tmp_path: Path) -> None:
    conversion = convert_checkpoint(write_lucid(tmp_path / "model.safetensors"))
    spec = architecture("timm_xception", width=0.05, num_classes=5)
    assert conversion.model.network.architecture() == spec
    expected = rename(draw(spec, "lucid"), spec, NAMING_SCHEMES["lucid"])
    assert all(np.array_equal(conversion.tensors[name], expected[name]) for name in expected)
    assert diagnose(read_checkpoint(tmp_path / "model.safetensors")).source == "lucid"


def test_a_folder_states_images_and_dropout(tmp_path: Path) -> None:
    config = json.loads(json.dumps(LUCID_CONFIG))
    config["preprocessing"]["init_kwargs"]["resize_size"] = 320
    model = convert_checkpoint(folder(tmp_path / "tag", config)).model
    assert model.preprocess.resize is not None
    assert model.preprocess.resize != LUCID.resize
    assert model.network.drop_rate == 0.5
    assert convert_checkpoint(folder(tmp_path / "other", LUCID_CONFIG)).model.preprocess == LUCID


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (LUCID_CONFIG | {"architecture": "xception65"}, "states the network 'xception65'; expected 'xception'"),
        (LUCID_CONFIG | {"config": {"num_classes": 6}}, "states num_classes 6, but the tensors have 5"),
        (LUCID_CONFIG | {"config": {"num_classes": 5, "stride": 8}}, "unknown field `stride`"),
        (LUCID_CONFIG | {"preprocessing": {"preprocessor_type": "Detection", "init_kwargs": {}}}, "Detection"),
    ],
)
def test_what_is_stated_and_not_built_is_refused(config: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        convert_checkpoint(folder(tmp_path / "tag", config))


def test_keras_epsilon_is_not_to_be_chosen_for_a_file_that_names_its_network(tmp_path: Path) -> None:
    file = write_lucid(tmp_path / "model.safetensors")
    with pytest.raises(UsageError, match="states the network timm_xception; leave --variant out"):
        convert_checkpoint(file, WeightsChoice(variant="keras_xception"))


def test_the_header_of_another_network_is_refused(tmp_path: Path) -> None:
    file = write_lucid(tmp_path / "model.safetensors", LUCID_HEADER | {"architecture": "resnet_50"})
    with pytest.raises(InputError, match="states the network 'resnet_50'"):
        convert_checkpoint(file)
