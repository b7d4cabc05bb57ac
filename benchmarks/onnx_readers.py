"""ONNX files as programs read them that are not of this package: `python onnx_readers.py FOLDER`, in their environment.

    pip install opencv-python-headless onnxslim onnxruntime

Each graph in the folder gets the images of `pixels.npy`. Its answers by each program lie in `GRAPH.PROGRAM.npy`
afterwards, or its complaint in `GRAPH.PROGRAM.txt`; the programs' versions are printed as JSON.
"""

import json
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import onnxruntime
import onnxslim
from onnx.reference import ReferenceEvaluator


def by_opencv(file: Path, pixels: np.ndarray) -> np.ndarray:
    """OpenCV's DNN module, without its vector code: that computes some int8 layers wrongly."""
    cv2.setUseOptimized(False)
    network: Any = cv2.dnn.readNetFromONNX(str(file))
    network.setInput(pixels)
    return np.asarray(network.forward())


def by_onnxslim(file: Path, pixels: np.ndarray) -> np.ndarray:
    """ONNX Runtime, after onnxslim rewrote the graph."""
    slim = onnxslim.slim(onnx.load(file))
    session: Any = onnxruntime.InferenceSession(slim.SerializeToString())
    return np.asarray(session.run(None, {session.get_inputs()[0].name: pixels})[0])


def by_reference(file: Path, pixels: np.ndarray) -> np.ndarray:
    """ONNX's own evaluator in NumPy."""
    evaluator: Any = ReferenceEvaluator(str(file))
    return np.asarray(evaluator.run(None, {evaluator.input_names[0]: pixels})[0])


READERS = {"opencv": by_opencv, "onnxslim": by_onnxslim, "reference": by_reference}


def main(folder: Path) -> None:
    """Read all graphs with all programs."""
    pixels = np.load(folder / "pixels.npy")
    for file in sorted(folder.glob("*.onnx")):
        for name, read in READERS.items():
            answers = file.with_suffix(f".{name}.npy")
            # Each program has errors of its own, which share no base class but this one.
            try:
                np.save(answers, read(file, pixels))
            except Exception as error:
                answers.with_suffix(".txt").write_text(str(error).strip(), encoding="utf-8")
    sys.stdout.write(
        json.dumps(
            {
                "opencv": cv2.__version__,
                "onnxslim": onnxslim.__version__,
                "onnx": onnx.__version__,
                "onnxruntime": onnxruntime.__version__,
            }
        )
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
