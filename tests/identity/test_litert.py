import io
import zipfile

import msgspec
import pytest
from ai_edge_litert import schema_py_generated as schema

from tests.identity.described import NAMES, content
from xception.bundle import Bundle
from xception.forms import Form
from xception.identity.identity import identity_of
from xception.identity.litert import _metadata


@pytest.mark.parametrize(("color", "member"), [("rgb", 1), ("bgr", 0)])
def test_an_order_of_channels_that_has_no_name_there_gets_none(
    forms: dict[Form, Bundle], color: str, member: int
) -> None:
    model = forms["litert"].model
    own = msgspec.structs.replace(model.preprocess, color=color)
    identity = identity_of(msgspec.structs.replace(model, preprocess=own), forms["litert"].labels)
    (given,) = _metadata(identity, 1)[3][0][2]
    assert given[3][1][0] == member
    assert given[1].startswith(color)


def test_tools_of_tensorflow_lite_show_the_classes(forms: dict[Form, Bundle]) -> None:
    data = content("litert", forms)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.read("labels.txt").decode().splitlines() == list(NAMES)
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data))
    (entry,) = [entry for entry in model.metadata if entry.name == b"TFLITE_METADATA"]
    packed = bytes(bytearray(model.buffers[entry.buffer].data))
    assert packed[4:8] == b"M001"
    assert b"labels.txt" in packed
