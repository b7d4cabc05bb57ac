import onnx

from tests.identity.described import NAMES, content
from xception.bundle import Bundle
from xception.forms import Form


def test_tools_of_onnx_show_the_classes(forms: dict[Form, Bundle]) -> None:
    model = onnx.load_from_string(content("onnx", forms))
    entries = {entry.key: entry.value for entry in model.metadata_props}
    assert tuple(entries["names"].split("\n")) == NAMES
    assert entries["task"] == "image-classification"
    assert "an image classifier, mini_xception, 7 classes" in model.doc_string
