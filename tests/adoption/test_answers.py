from pathlib import Path

import numpy as np
import pytest

from tests.adoption.graphs import STATED, Ending, Style, write_ir, write_onnx, write_tflite
from xception.adoption.adopt import adopt, read_graph
from xception.adoption.answers import AnswerKind, answer_kind, ending
from xception.errors import InputError, UsageError
from xception.metrics import Activation, softmax

LOGITS = np.random.Generator(np.random.PCG64(0)).normal(0, 3, (8, 5)).astype(np.float32)
SHARES = softmax(LOGITS).astype(np.float32)
FILE = Path("model.onnx")


def kind(end: str | None, answers: np.ndarray, stated: str | None = None, wanted: str | None = None) -> AnswerKind:
    return answer_kind(FILE, end, answers, stated=stated, activation=wanted)


@pytest.mark.parametrize("form", ["onnx", "xml"])
@pytest.mark.parametrize("end", ["softmax", "sigmoid", "log_softmax"])
def test_the_last_operation_is_found(end: Ending, form: str, tmp_path: Path) -> None:
    write = {"onnx": write_onnx, "xml": write_ir}[form]
    outline = read_graph(write(tmp_path / f"model.{form}", Style(ending=end)))
    assert ending(outline, outline.outputs[0].value) == end


def test_the_last_operation_of_a_litert_file_is_found(tmp_path: Path) -> None:
    outline = read_graph(write_tflite(tmp_path / "model.tflite", Style(ending="softmax")))
    assert ending(outline, outline.outputs[0].value) == "softmax"
    outline = read_graph(write_tflite(tmp_path / "model.tflite", Style()))
    assert ending(outline, outline.outputs[0].value) is None


@pytest.mark.parametrize(
    ("end", "answers", "values", "activation"),
    [
        ("softmax", SHARES, "probabilities", "softmax"),
        ("sigmoid", SHARES[:, :1], "probabilities", "sigmoid"),
        ("log_softmax", np.log(SHARES), "logits", "softmax"),
        (None, LOGITS, "logits", "softmax"),
        (None, LOGITS[:, :1], "logits", "sigmoid"),
        (None, SHARES, "probabilities", "softmax"),
    ],
)
def test_the_kind_of_answers(end: str | None, answers: np.ndarray, values: str, activation: str) -> None:
    found = kind(end, answers)
    assert (found.output_values, found.activation) == (values, activation)
    assert found.because


def test_a_softmax_in_parts_is_told_by_its_answers(tmp_path: Path) -> None:
    adoption = adopt(write_onnx(tmp_path / "model.onnx", Style(ending="decomposed softmax")), STATED)
    assert adoption.model.graph is not None
    assert adoption.model.graph.output_values == "probabilities"
    assert "probabilities that add up to one" in adoption.notes["answers"]


def test_answers_that_may_be_either_are_asked_for() -> None:
    shares = 1 / (1 + np.exp(-LOGITS))
    with pytest.raises(UsageError, match=r"all lie between 0 and 1, .* --output-values logits, or probabilities"):
        kind(None, shares)
    assert kind(None, shares, "probabilities").activation == "sigmoid"
    assert kind(None, shares, "logits") == kind(None, shares, "logits", "softmax")


@pytest.mark.parametrize("wanted", ["sigmoid", "none"])
def test_the_activation_of_logits_may_be_stated(wanted: Activation) -> None:
    assert kind(None, LOGITS, wanted=wanted).activation == wanted


@pytest.mark.parametrize(
    ("end", "answers", "stated", "wanted", "words"),
    [
        ("softmax", SHARES, "logits", None, "--output-values logits contradicts .* it ends in a softmax"),
        ("softmax", SHARES, None, "sigmoid", "--activation sigmoid contradicts"),
        (None, LOGITS, "probabilities", None, "whose answers to test images reach from -"),
        (None, SHARES, None, "sigmoid", "--activation sigmoid contradicts .* add up to one"),
    ],
)
def test_a_statement_that_contradicts_the_graph_is_refused(
    end: str | None, answers: np.ndarray, stated: str | None, wanted: str | None, words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        kind(end, answers, stated, wanted)


@pytest.mark.parametrize(
    ("end", "answers", "words"),
    [
        ("softmax", np.ones((8, 1), np.float32), "a softmax over a single class is 1 for every image"),
        ("softmax", SHARES * 2, "does not add up to one over the 5 answers"),
        (None, np.full((8, 5), np.nan, np.float32), "are not finite numbers"),
    ],
)
def test_answers_that_say_nothing_are_refused(end: str | None, answers: np.ndarray, words: str) -> None:
    with pytest.raises(InputError, match=words):
        kind(end, answers)
