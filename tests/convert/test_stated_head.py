import numpy as np
import pytest

from xception.convert.stated import StatedFacts
from xception.convert.stated_head import head_names, tensor_names_of, with_stated_head


def tensors(*names: str) -> dict[str, np.ndarray]:
    return {name: np.full((2, 3) if name.endswith("kernel") else (3,), index) for index, name in enumerate(names)}


NAMES = head_names("keras", "keras_xception")


def test_layers_take_the_names_of_what_they_are() -> None:
    values = tensors("dense/kernel", "dense/bias", "dense_1/kernel", "dense_1/bias", "block1_conv1/kernel")
    stated = StatedFacts(head_names={"classifier": ("dense_1",), "hidden": ("dense",)})
    found = with_stated_head(values, values, "", NAMES, stated)
    assert list(found) == [
        "hidden/kernel",
        "hidden/bias",
        "predictions/kernel",
        "predictions/bias",
        "block1_conv1/kernel",
    ]
    assert found["predictions/kernel"] is values["dense_1/kernel"]


def test_a_hidden_layer_called_like_a_classifier_is_none() -> None:
    values = tensors("predictions/kernel", "predictions/bias", "out/kernel", "out/bias")
    stated = StatedFacts(head_names={"classifier": ("out",), "hidden": ("predictions",)})
    found = with_stated_head(values, values, "", NAMES, stated)
    assert found["predictions/kernel"] is values["out/kernel"]
    assert found["hidden/bias"] is values["predictions/bias"]


def test_a_layer_without_a_bias_has_one_of_zeros_if_that_is_stated() -> None:
    values = tensors("dense/kernel")
    stated = StatedFacts(head_names={"classifier": ("dense",)}, without_bias=("classifier",))
    assert with_stated_head(values, values, "", NAMES, stated)["predictions/bias"].tolist() == [0, 0, 0]
    lost = StatedFacts(head_names={"classifier": ("dense",)})
    assert "predictions/bias" not in with_stated_head(values, values, "", NAMES, lost)


@pytest.mark.parametrize("name", ["head/dense/kernel", "head/kernel", "dense/kernel"])
def test_older_files_leave_networks_out_of_the_names(name: str) -> None:
    assert name in tensor_names_of(("head", "dense"), "kernel")


def test_the_prefix_of_a_group_is_no_part_of_its_names() -> None:
    assert "predictions/kernel" in tensor_names_of(("xception", "predictions"), "kernel", "xception/")
