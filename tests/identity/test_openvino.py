import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import openvino
import pytest

from tests.identity.described import content
from xception.bundle import Bundle
from xception.forms import FORMS, Form
from xception.identity.identity import read_identity, with_identity
from xception.labels import Labels


def test_tools_of_openvino_show_the_classes(forms: dict[Form, Bundle]) -> None:
    weights = (forms["openvino"].path / "model.bin").read_bytes()
    model = openvino.Core().read_model(content("openvino", forms), weights)
    assert model.get_rt_info(["model_info", "labels"]).astype(str).split()[1] == 'le_"chien"'
    assert model.get_rt_info(["model_info", "model_type"]).astype(str) == "Classification"
    mean = forms["openvino"].model.preprocess.mean
    assert [float(value) / 255 for value in model.get_rt_info(["model_info", "mean_values"]).astype(str).split()] == (
        pytest.approx(list(mean), rel=1e-4)
    )


def test_names_with_characters_that_xml_lacks_are_kept_in_the_description(
    forms: dict[Form, Bundle], tmp_path: Path
) -> None:
    bundle, labels = forms["openvino"], Labels(("a\x07", "b\x1b[2J", "c\ufffe", "d\x7f", "e", "f", "g"))
    files = {name: bundle.content(name) for name in FORMS["openvino"].files}
    for name, data in with_identity(files, bundle.model, labels).items():
        (tmp_path / name).write_bytes(data)
    model = openvino.Core().read_model(tmp_path / "model.xml")
    assert model.get_rt_info(["model_info", "labels"]).astype(str).split()[:3] == ["a\ufffd", "b\ufffd[2J", "c\ufffd"]
    found = read_identity(tmp_path / "model.xml")
    assert found and found.names == labels.names


def stated(forms: dict[Form, Bundle], *, graph: dict[str, str], **changes: Any) -> dict[str, str]:
    """The facts in the file of a changed model."""
    bundle = forms["openvino"]
    own = msgspec.structs.replace(bundle.graph, **graph)
    changed = replace(bundle, model=msgspec.structs.replace(bundle.model, graph=own, **changes))
    rows = ET.fromstring(content("openvino", {"openvino": changed})).iter()
    return {row.tag: row.get("value", "") for row in rows}


def test_a_graph_that_normalises_is_given_images_as_they_are(forms: dict[Form, Bundle]) -> None:
    facts = stated(forms, graph={"input_values": "image"})
    assert (facts["mean_values"], facts["scale_values"]) == ("0 0 0", "1 1 1")
    assert facts["preprocess"].endswith("8-bit values, which the graph normalises itself")
    assert "(x / 255" in stated(forms, graph={})["preprocess"]


@pytest.mark.parametrize(
    ("color", "channels", "reverse"), [("rgb", 3, "True"), ("bgr", 3, "False"), ("gray", 1, "False")]
)
def test_only_rgb_is_the_reverse_of_opencvs_order(
    forms: dict[Form, Bundle], color: str, channels: int, reverse: str
) -> None:
    half = (0.5,) * channels
    own = msgspec.structs.replace(forms["openvino"].model.preprocess, color=color, mean=half, std=half)
    assert stated(forms, graph={}, preprocess=own)["reverse_input_channels"] == reverse


@pytest.mark.parametrize(
    ("activation", "values", "kind"),
    [
        ("softmax", "logits", ("Classification", "False")),
        ("softmax", "probabilities", ("Classification", "False")),
        ("sigmoid", "logits", ("Classification", "True")),
        # Tools of OpenVINO would take the sigmoid a second time, or make probabilities of what are none.
        ("sigmoid", "probabilities", (None, None)),
        ("none", "logits", (None, None)),
    ],
)
def test_the_kind_of_model_is_one_whose_probabilities_are_the_models(
    forms: dict[Form, Bundle], activation: str, values: str, kind: tuple[str | None, str | None]
) -> None:
    facts = stated(forms, graph={"output_values": values}, activation=activation)
    assert (facts.get("model_type"), facts.get("multilabel")) == kind
