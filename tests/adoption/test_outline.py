from pathlib import Path

import numpy as np
import pytest

from xception.adoption.outline import GraphPort, check_operations, check_size, main_precision
from xception.errors import InputError

FILE = Path("model.onnx")


def test_a_port_shows_itself() -> None:
    port = GraphPort(name="x", value="x", dtype="float32", shape=(None, 3))
    assert str(port) == "x (float32, any x 3)"
    assert str(GraphPort(name="x", value="x", dtype="uint8", shape=None)) == "x (uint8, ?)"


def test_a_value_that_fills_the_memory_is_refused() -> None:
    check_size(FILE, "x", (1 << 16, None, 1 << 15))
    with pytest.raises(InputError, match="its value x has 4,294,967,296 numbers; expected at most 2,147,483,648"):
        check_size(FILE, "x", (1 << 16, None, 1 << 16))


def test_too_many_operations_are_refused() -> None:
    check_operations(FILE, {"Conv": 100_000}, frozenset({"If"}))
    with pytest.raises(InputError, match="it has 100,001 operations"):
        check_operations(FILE, {"Conv": 100_000, "Relu": 1}, frozenset({"If"}))


@pytest.mark.parametrize(
    ("counts", "is_quantized", "precision"),
    [
        ({"float32": 9, "float16": 3}, False, "float32"),
        ({"float32": 3, "float16": 9}, False, "float16"),
        ({"float32": 9}, True, "int8"),
        ({}, False, "float32"),
    ],
)
def test_most_numbers_decide_the_precision(counts: dict[str, int], is_quantized: bool, precision: str) -> None:
    types = {np.dtype(name): count for name, count in counts.items()}
    assert main_precision(types, is_quantized=is_quantized) == precision
