"""Weights are taken only if every tensor has its place, or the user said what to do with the rest."""

from pathlib import Path

import numpy as np
import pytest

from tests.convert.checkpoints import (
    drawn,
    hollow,
    prefixed,
    write_keras,
    write_safetensors,
)
from xception.convert.catalog import CATALOG
from xception.convert.conversion import convert_checkpoint
from xception.convert.selection import WeightsChoice
from xception.errors import InputError, UnknownName, UsageError

PAIR = {"mixer.weight": np.zeros(3, np.float32), "mixer.bias": np.zeros(3, np.float32)}


def test_superfluous_tensors_are_refused_until_they_are_left_out_by_name(tmp_path: Path) -> None:
    file = write_safetensors(tmp_path / "file", drawn("timm_xception") | PAIR)
    with pytest.raises(InputError, match=r"not part of it mixer\.bias, mixer\.weight; .* pass --leave-out 'mixer\.\*'"):
        convert_checkpoint(file)
    with pytest.raises(InputError, match=r"not part of it mixer\.bias;"):
        convert_checkpoint(file, WeightsChoice(leave_out=("mixer.weight",)))
    converted = convert_checkpoint(file, WeightsChoice(leave_out=("mixer.*",)))
    assert converted.model.lineage[0].settings["left_out"] == "mixer.*"


def test_leaving_out_what_is_not_there_is_refused(tmp_path: Path) -> None:
    file = write_safetensors(tmp_path / "file", drawn("timm_xception"))
    with pytest.raises(UsageError, match=r"no tensor of .* is called head\.\*, so it cannot be left out"):
        convert_checkpoint(file, WeightsChoice(leave_out=("head.*",)))


def test_missing_tensors_are_refused_whatever_is_left_out(tmp_path: Path) -> None:
    values = drawn("timm_xception") | PAIR
    del values["block5.rep.1.pointwise.weight"]
    file = write_safetensors(tmp_path / "file", values)
    with pytest.raises(
        InputError,
        match=r"nothing fits fully; nearest is timm_xception under the names of timm: missing block5\.rep\.1",
    ):
        convert_checkpoint(file, WeightsChoice(leave_out=("mixer.*",)))


@pytest.mark.parametrize("wrong", ["timm_xception65", "timm_xception41p", "keras_xception", "mini_xception"])
def test_the_wrong_variant_is_refused_with_the_one_that_fits(wrong: str, tmp_path: Path) -> None:
    file = write_safetensors(tmp_path / "file", drawn("timm_xception41"))
    with pytest.raises(
        InputError, match=f"does not fit {wrong}: missing [^n].*it fits timm_xception41, so pass --variant timm_x"
    ):
        convert_checkpoint(file, WeightsChoice(variant=wrong))


def test_an_unknown_variant_is_refused_with_the_nearest(tmp_path: Path) -> None:
    file = write_safetensors(tmp_path / "file", drawn("timm_xception41"))
    with pytest.raises(UnknownName, match="unknown variant 'timm_xceptoin41'; did you mean timm_xception41"):
        convert_checkpoint(file, WeightsChoice(variant="timm_xceptoin41"))


def test_a_file_that_fits_two_variants_needs_a_decision(tmp_path: Path) -> None:
    file = write_safetensors(tmp_path / "file", hollow("keras", "mini_xception", width=0.1))
    with pytest.raises(UsageError, match=r"fits mini_xception .*and tiny_xception alike; pass --variant"):
        convert_checkpoint(file)
    assert convert_checkpoint(file, WeightsChoice(variant="tiny_xception")).model.network.variant == "tiny_xception"


def test_averages_and_groups_are_taken_if_asked_for(tmp_path: Path) -> None:
    plain = drawn("timm_xception41")
    average = {name: value + 1 for name, value in plain.items()}
    file = write_safetensors(tmp_path / "file", prefixed(plain, "model.") | prefixed(average, "ema."))
    name, upstream = "stem.0.conv.weight", "stem.0.conv.weight"
    np.testing.assert_array_equal(convert_checkpoint(file).tensors[name], plain[upstream])
    np.testing.assert_array_equal(
        convert_checkpoint(file, WeightsChoice(average=True)).tensors[name], average[upstream]
    )
    np.testing.assert_array_equal(convert_checkpoint(file, WeightsChoice(group="ema")).tensors[name], average[upstream])


def test_several_networks_in_a_file_need_a_decision(tmp_path: Path) -> None:
    values = drawn("timm_xception41")
    file = write_safetensors(tmp_path / "file", prefixed(values, "student.") | prefixed(values, "teacher."))
    with pytest.raises(UsageError, match="several full sets of weights; pass --group with one of student, teacher"):
        convert_checkpoint(file)
    assert convert_checkpoint(file, WeightsChoice(group="teacher")).match.group.name == "teacher"


def test_published_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    file = write_safetensors(tmp_path / "file", drawn("timm_xception41"))
    entry = CATALOG["timm_xception65.tf_in1k"]
    with pytest.raises(InputError, match=r"does not fit timm_xception65: .*; it fits timm_xception41"):
        convert_checkpoint(file, entry=entry)
    with pytest.raises(UsageError, match=r"65\.tf_in1k are weights of another network than timm_xception41; leave"):
        convert_checkpoint(file, WeightsChoice(variant="timm_xception41"), entry=entry)


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    file = write_safetensors(tmp_path / "file", {"layer1.0.conv1.weight": np.zeros((8, 8, 3, 3), np.float32)})
    with pytest.raises(InputError, match=r"no tensor of layer1\.0\.conv1\.weight has a name that a known source gives"):
        convert_checkpoint(file)


def test_a_contradictory_keras_1_file_is_refused_with_its_own_reason(tmp_path: Path) -> None:
    values = {f"convolution2d_{index}/kernel": np.zeros((3, 3, 3, 32), np.float32) for index in (9, 1, 5)}
    with pytest.raises(InputError, match="are not in the order in which Keras stores them"):
        convert_checkpoint(write_keras(tmp_path / "file", values))
