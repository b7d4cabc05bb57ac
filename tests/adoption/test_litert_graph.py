from pathlib import Path

import numpy as np
import pytest

from tests.adoption.graphs import PLAIN, weights, write_tflite
from xception.adoption.litert_graph import read_litert
from xception.errors import InputError
from xception.flatbuffer import Flatbuffer


def test_the_outline_says_what_is_in_the_file(tmp_path: Path) -> None:
    outline = read_litert(write_tflite(tmp_path / "model.tflite"))
    assert outline.title == "LiteRT, schema 3, written by xception"
    assert [str(port) for port in (*outline.inputs, *outline.outputs)] == [
        "serving_default_x:0 (float32, any x 12 x 12 x 3)",
        "StatefulPartitionedCall:0 (float32, any x 5)",
    ]
    assert [row.kind for row in outline.operations] == ["CONV_2D", "MEAN", "FULLY_CONNECTED"]
    kernel = outline.operations[0].inputs[1]
    np.testing.assert_array_equal(outline.constants[kernel](), weights(PLAIN)[0].transpose(0, 2, 3, 1))
    assert outline.precision == "float32"


@pytest.mark.parametrize("integers", ["uint8", "int8"])
def test_a_grid_at_an_end_is_seen(tmp_path: Path, integers: str) -> None:
    outline = read_litert(write_tflite(tmp_path / "model.tflite", integers=integers))
    assert (outline.inputs[0].dtype, outline.inputs[0].is_quantized) == (integers, True)


def test_operations_of_a_library_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Flatbuffer._code

    def custom(file: Flatbuffer, kind: str, version: int) -> object:
        code = real(file, kind, version)
        if kind == "MEAN":
            code.builtinCode = code.deprecatedBuiltinCode = file.schema.BuiltinOperator.CUSTOM
            code.customCode = b"FlexMean"
        return code

    monkeypatch.setattr(Flatbuffer, "_code", custom)
    with pytest.raises(InputError, match="its operations FlexMean are none of LiteRT"):
        read_litert(write_tflite(tmp_path / "model.tflite"))


@pytest.mark.parametrize("keep", [12, 200, 700])
def test_a_file_that_was_cut_is_refused(tmp_path: Path, keep: int) -> None:
    path = write_tflite(tmp_path / "model.tflite")
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match="cannot be adopted"):
        read_litert(path)


def test_every_byte_may_be_wrong_without_a_traceback(tmp_path: Path) -> None:
    content = write_tflite(tmp_path / "model.tflite").read_bytes()
    rng = np.random.Generator(np.random.PCG64(0))
    for place in rng.integers(8, len(content), 60):
        changed = bytearray(content)
        changed[place] ^= 0xFF
        (tmp_path / "changed.tflite").write_bytes(changed)
        try:
            read_litert(tmp_path / "changed.tflite")
        except InputError as error:
            assert "cannot be adopted" in str(error)
