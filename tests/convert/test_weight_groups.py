import numpy as np
import pytest

from tests.convert.checkpoints import checkpoint, hollow, prefixed
from xception.convert.weight_groups import choose_groups, weight_groups
from xception.errors import InputError, UnknownName

NETWORK = hollow("timm", "timm_xception41")
EXTRA = {"criterion.weight": np.zeros(3)}


def names(*groups: dict[str, np.ndarray], **named: dict[str, np.ndarray]) -> list[str]:
    return [found.name for found in weight_groups(checkpoint(*groups, **named))]


def test_a_plain_file_is_one_set_without_a_name() -> None:
    (found,) = weight_groups(checkpoint(NETWORK))
    assert (found.name, found.prefix, found.tensors) == ("", "", NETWORK)


@pytest.mark.parametrize("prefix", ["module.", "model.module.", "student.backbone.", "net/"])
def test_any_prefix_of_a_whole_network_is_found(prefix: str) -> None:
    (found,) = weight_groups(checkpoint(prefixed(NETWORK, prefix)))
    assert (found.name, found.prefix, found.tensors) == (prefix[:-1], prefix, NETWORK)


def test_networks_side_by_side_are_sets_of_their_own() -> None:
    both = prefixed(NETWORK, "model.") | prefixed(NETWORK, "ema.module.")
    assert names(state_dict=both) == ["state_dict/model", "state_dict/ema.module"]
    assert all(found.tensors.keys() == NETWORK.keys() for found in weight_groups(checkpoint(both)))


def test_what_has_no_prefix_belongs_to_every_set() -> None:
    (found,) = weight_groups(checkpoint(prefixed(NETWORK, "model.") | EXTRA))
    assert found.tensors.keys() == NETWORK.keys() | EXTRA.keys()


def test_a_plain_network_beside_a_wrapped_one_keeps_the_rest() -> None:
    plain, wrapped = weight_groups(checkpoint(NETWORK | prefixed(NETWORK, "moments.") | EXTRA))
    assert plain.tensors.keys() == NETWORK.keys() | EXTRA.keys()
    assert wrapped.tensors.keys() == NETWORK.keys()


def test_two_tensors_that_end_up_with_one_name_are_refused() -> None:
    with pytest.raises(InputError, match=r"both stand for 'stem\.0\.conv\.weight'"):
        weight_groups(checkpoint(prefixed(NETWORK, "module.") | {"stem.0.conv.weight": np.zeros(1)}))


def test_a_file_of_something_else_is_one_set() -> None:
    assert names(EXTRA) == [""]


def test_averages_that_tensorflow_keeps_beside_its_variables_are_a_set() -> None:
    values = hollow("tfslim", "timm_xception41")
    average = {f"{name}/ExponentialMovingAverage": np.ones(value.shape) for name, value in values.items()}
    plain, averaged = weight_groups(checkpoint(values | average))
    assert (plain.is_average, averaged.is_average) == (False, True)
    assert all(averaged.tensors[name].all() for name in values)


def test_sets_are_chosen_by_name_or_as_the_average() -> None:
    sets = weight_groups(checkpoint(state_dict=NETWORK, state_dict_ema=NETWORK, model_best=NETWORK))
    assert [found.name for found in choose_groups(sets)] == ["state_dict", "model_best"]
    assert [found.name for found in choose_groups(sets, average=True)] == ["state_dict_ema"]
    assert [found.name for found in choose_groups(sets, name="model_best")] == ["model_best"]


def test_an_average_that_is_all_there_is_needs_no_choice() -> None:
    assert len(choose_groups(weight_groups(checkpoint(model_ema=NETWORK)))) == 1


def test_a_set_that_is_not_there_is_refused_with_those_that_are() -> None:
    sets = weight_groups(checkpoint(state_dict=NETWORK, teacher=NETWORK))
    with pytest.raises(UnknownName, match="unknown group of weights 'state'; did you mean state_dict"):
        choose_groups(sets, name="state")
    with pytest.raises(InputError, match="holds no running average of the weights, only 'state_dict', 'teacher'"):
        choose_groups(sets, average=True)


def test_a_file_of_a_thousand_prefixes_is_split_a_few_times_only() -> None:
    marker = "blocks.12.stack.conv3.conv_pw.weight"
    assert len(weight_groups(checkpoint({f"n{index}.{marker}": np.zeros(1) for index in range(1000)}))) == 8
