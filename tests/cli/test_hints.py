"""The commands that commands propose: each is run as it is printed, on data that fit the model."""

import shlex
from pathlib import Path

import pytest

from xception.bundle import Bundle
from xception.cli.app import run

EXPORTS = {
    "half precision": "--to onnx --precision float16",
    "an old opset": "--to onnx --opset 11",
    "a fixed batch": "--to onnx --fixed-batch 4",
    "plain": "--to onnx",
    "a free size": "--to onnx --free-size",
    "images in": "--to onnx --image-input",
    "ranks out": "--to onnx --probabilities --top-k 2",
    "class maps": "--to onnx --class-maps",
    "openvino": "--to openvino",
    "litert": "--to litert --image-input",
}
QUICK = ("half precision", "an old opset", "a fixed batch")


def proposed(text: str) -> list[str]:
    """The command behind `next:`, without the program's name."""
    (line,) = [line for line in text.splitlines() if line.startswith("next: ")]
    program, *command = shlex.split(line.removeprefix("next: "))
    assert program == "xception"
    return ["digits" if word == "DATA" else word for word in command]


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in QUICK else pytest.mark.slow) for n in EXPORTS])
def test_what_an_export_proposes_works(
    name: str, reader_weights: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [*EXPORTS[name].split(), "--out", str(tmp_path / "out")]
    assert run(["export", str(reader_weights.path), *options]) == 0
    command = proposed(capsys.readouterr().err)
    is_parent_of_int8 = "--to onnx" in EXPORTS[name] and name not in ("half precision", "an old opset")
    assert command[0] == ("quantize" if is_parent_of_int8 else "evaluate")
    assert run(command) == 0, capsys.readouterr().err


@pytest.mark.slow
def test_what_quantize_proposes_works(
    reader_weights: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "int8")
    assert run(["quantize", str(reader_weights.path), "--calibration", "digits", "--out", out]) == 0
    command = proposed(capsys.readouterr().err)
    assert command[0] == "benchmark"
    assert run(command) in (0, 1), capsys.readouterr().err
