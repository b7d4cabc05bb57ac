"""Runs a LiteRT file once on zeros; a process that ends otherwise than with 0 was ended by LiteRT.

    python litert_trial.py FILE

Errors that LiteRT reports do not matter here: they appear again when the file is opened.
"""

import sys
from contextlib import suppress
from importlib import import_module

import numpy as np

BATCH = 2
"""Images in the batch of a file that takes any number."""


def run_once(path: str) -> None:
    """Prepare the graph for its own shape, and for a batch where it takes one, and compute it."""
    interpreter = import_module("ai_edge_litert.interpreter").Interpreter(model_path=path)
    given = interpreter.get_input_details()
    for port in given:
        stated = port["shape_signature"]
        if len(stated) and stated[0] < 0:
            interpreter.resize_tensor_input(port["index"], [BATCH, *port["shape"][1:]])
    interpreter.allocate_tensors()
    for port in interpreter.get_input_details():
        interpreter.set_tensor(port["index"], np.zeros(port["shape"], port["dtype"]))
    interpreter.invoke()


if __name__ == "__main__":
    with suppress(Exception):
        run_once(sys.argv[1])
