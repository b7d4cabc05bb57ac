import io
import zipfile

from ai_edge_litert import schema_py_generated as schema

from tests.identity.described import NAMES, content
from xception.bundle import Bundle
from xception.forms import Form


def test_tools_of_tensorflow_lite_show_the_classes(forms: dict[Form, Bundle]) -> None:
    data = content("litert", forms)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.read("labels.txt").decode().splitlines() == list(NAMES)
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data))
    (entry,) = [entry for entry in model.metadata if entry.name == b"TFLITE_METADATA"]
    packed = bytes(bytearray(model.buffers[entry.buffer].data))
    assert packed[4:8] == b"M001"
    assert b"labels.txt" in packed
