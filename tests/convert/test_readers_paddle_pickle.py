import numpy as np
import pytest

from tests.convert.make_samples import SAMPLES, weights
from xception.convert.readers import read_checkpoint


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_state_dict_is_read_in_order_from_either_protocol(protocol: int) -> None:
    checkpoint = read_checkpoint(SAMPLES / f"paddle_protocol{protocol}.pdparams")
    assert checkpoint.container == "paddle_pdparams"
    assert list(checkpoint.groups[""]) == list(weights())
    for key, expected in weights().items():
        assert checkpoint.groups[""][key].dtype == np.float32
        np.testing.assert_array_equal(checkpoint.groups[""][key], expected)


def test_the_map_of_static_names_is_no_tensor() -> None:
    assert read_checkpoint(SAMPLES / "paddle_protocol4.pdparams").metadata["left_out"] == [
        "StructuredToParameterName@@"
    ]


def test_a_nested_save_is_read_without_its_optimizer() -> None:
    checkpoint = read_checkpoint(SAMPLES / "paddle_trainer.pdparams")
    assert checkpoint.metadata == {"values": {"epoch": 3}, "left_out": ["optimizer"]}
    assert list(checkpoint.groups) == ["model"]
    for key, expected in weights().items():
        np.testing.assert_array_equal(checkpoint.groups["model"][key], expected)
