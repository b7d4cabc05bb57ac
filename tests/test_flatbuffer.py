import numpy as np
from ai_edge_litert.interpreter import Interpreter

from xception.flatbuffer import Flatbuffer, Grid

GRID = Grid((0.5,), (3,))


def rounding() -> bytes:
    """A graph that brings numbers to a grid and back."""
    file = Flatbuffer()
    source = file.value("x", (1, 4), free=[0])
    rounded, result = file.value("q", (1, 4), "int8", free=[0], grid=GRID), file.value("y", (1, 4), free=[0])
    file.add("QUANTIZE", ["x"], [rounded])
    file.add("DEQUANTIZE", [rounded], [result], version=2)
    assert file.shape(rounded) == (1, 4)
    return file.finish("rounding", {"pixels": source}, {"logits": result})


def test_numbers_go_to_their_grid_and_no_further_than_eight_bits() -> None:
    interpreter = Interpreter(model_content=rounding(), num_threads=1)
    (source,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.resize_tensor_input(source["index"], (2, 4), strict=True)
    interpreter.allocate_tensors()
    values = np.array([[0.0, 0.6, -0.6, 100], [0.3, 1.0, 62, -100]], np.float32)
    interpreter.set_tensor(source["index"], values)
    interpreter.invoke()
    expected = np.array([[0.0, 0.5, -0.5, 62], [0.5, 1.0, 62, -65.5]], np.float32)
    assert np.array_equal(interpreter.get_tensor(result["index"]), expected)


def test_the_file_says_what_its_integers_stand_for() -> None:
    interpreter = Interpreter(model_content=rounding(), num_threads=1)
    (details,) = (tensor for tensor in interpreter.get_tensor_details() if tensor["name"] == "q")
    assert details["quantization"] == (0.5, 3)
    assert details["shape_signature"].tolist() == [-1, 4]
    assert interpreter.get_signature_list() == {"serving_default": {"inputs": ["pixels"], "outputs": ["logits"]}}
