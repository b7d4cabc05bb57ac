import openvino
import pytest

from tests.identity.described import content
from xception.bundle import Bundle
from xception.forms import Form


def test_tools_of_openvino_show_the_classes(forms: dict[Form, Bundle]) -> None:
    weights = (forms["openvino"].path / "model.bin").read_bytes()
    model = openvino.Core().read_model(content("openvino", forms), weights)
    assert model.get_rt_info(["model_info", "labels"]).astype(str).split()[1] == 'le_"chien"'
    assert model.get_rt_info(["model_info", "model_type"]).astype(str) == "Classification"
    mean = forms["openvino"].model.preprocess.mean
    assert [float(value) / 255 for value in model.get_rt_info(["model_info", "mean_values"]).astype(str).split()] == (
        pytest.approx(list(mean), rel=1e-4)
    )
