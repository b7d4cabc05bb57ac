"""The top of every page: a conclusion that claims no more than the figures do, and where the page comes from."""

from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from tests.report.browser import Page
from tests.report.pages import evaluation
from tests.report.test_benchmark import measured
from tests.report.test_comparison import compared
from tests.report.test_quantization import RESULT, TRIALS, VERDICT
from xception.bundle import Bundle
from xception.intervals import NonInferiority
from xception.preprocess import Preprocess
from xception.report.benchmark import render_benchmark
from xception.report.comparison import render_comparison
from xception.report.evaluation import render_evaluation
from xception.report.heading import model_names, origin
from xception.report.quantization import render_quantization
from xception.speed.benchmark import Benchmark
from xception.tasks.compare import Comparison
from xception.tasks.provenance import CommandRun, JudgedData, JudgedModel, ResultProvenance

RUN = CommandRun(date="2026-11-27T02:34:56+00:00", folder="/", command=("xception", "evaluate", "my model", "<data>"))


def model(name: str, form: str = "onnx") -> JudgedModel:
    facts = {"digest": "0" * 64, "precision": "float32", "batch": None, "pixels": "exact", "preprocess": Preprocess()}
    return JudgedModel(name=name, form=form, backend="onnxruntime", **facts)


def provenance(*models: JudgedModel) -> ResultProvenance:
    data = JudgedData(name="digits", images=1, fingerprint="0")
    versions = {"xception": "9.8.7", "onnxruntime": "1.2.3"}
    return ResultProvenance(models=models, data=data, options={}, machine={}, versions=versions, run=RUN)


def tops(*names: str) -> Iterator[str]:
    """The text of each kind of page, of models with these names."""
    yield render_evaluation(replace(evaluation({}), provenance=provenance(model(names[0]))), {})
    yield render_benchmark(replace(measured(), provenance=provenance(model(names[0]))))
    yield render_comparison(replace(compared(60, 0.5), provenance=provenance(*map(model, names))), {})


def test_each_page_begins_with_model_date_versions_and_command() -> None:
    for html in tops("old.digits", "new.digits"):
        text = Page(html.partition("</header>")[0].partition("<body>")[2] + "</header></main>").text
        for fact in ("old.digits", "2026-11-27 02:34 UTC", "xception 9.8.7, onnxruntime 1.2.3", "'my model' '<data>'"):
            assert fact in text


@pytest.mark.parametrize(
    ("models", "names"),
    [
        ((model("a"), model("b")), ("a", "b")),
        (
            (model("a"), model("a", "openvino")),
            ("a (onnx)", "a (openvino)"),
        ),
        (
            (model("a"), model("a")),
            ("the first, a", "the second, a"),
        ),
    ],
)
def test_two_models_of_a_page_never_have_the_same_name(models: tuple[JudgedModel, ...], names: tuple[str, ...]) -> None:
    assert model_names(provenance(*models), ("runs/x", "runs/y")) == names
    assert model_names(None, ("runs/x", "runs/y")) == ("x", "y")


def test_facts_on_the_machine_are_no_versions() -> None:
    made = origin(None, {"cpu": "a", "cores": 2, "system": "b", "torch": "2.13.0"})
    assert list(made.versions) == ["xception", "torch"]
    assert made.date == made.command == ""


def test_an_accuracy_that_guessing_reaches_is_said_to_be_so() -> None:
    guessed = evaluation({(0, 1): 18, (1, 0): 18}, ("yes", "no"))
    assert "Guessing among 2 classes may reach that, too." in render_evaluation(guessed, {})
    assert "Guessing" not in render_evaluation(evaluation({(0, 1): 2}, ("yes", "no")), {})


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        ("yes", "the second, digits is as good as the first, digits, within 1 point of top-1 accuracy, with 95 %"),
        ("no", "the second, digits is worse than the first, digits by more than 1 point"),
        ("undecided", "Undecided: 60 images do not tell"),
    ],
)
def test_a_comparison_claims_what_its_test_decides(verdict: str, words: str) -> None:
    decided = NonInferiority(verdict=verdict, margin=0.01, images=60, images_needed=None)
    result: Comparison = replace(compared(60, 0.5), non_inferiority=decided)
    assert words in render_comparison(result, {}).replace("&#39;", "'")


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        ("yes", "It loses less than 0.5 points of top-1 accuracy, with 95 % confidence."),
        ("undecided", "700 images do not show that it loses less than 0.5 points, where about 900 would."),
    ],
)
def test_what_the_gate_lets_pass_is_called_as_good_only_where_that_is_shown(
    verdict: str, words: str, onnx_bundle: Bundle
) -> None:
    decided = NonInferiority(verdict=verdict, margin=0.005, images=700, images_needed=900)
    trial = replace(TRIALS[2], verdict=replace(VERDICT, non_inferiority=decided))
    html = render_quantization(replace(RESULT, trials=(trial,)), onnx_bundle, {}, RUN)
    assert f"int8 by mse passed the gate. {words}" in html
    assert "2026-11-27 02:34 UTC" in html


def slowed(result: Benchmark, factor: float) -> Benchmark:
    """The benchmark with a second batch size, whose rounds have rates lower by a factor."""
    first = result.runs[0]
    total = first.end_to_end
    rates = {field: getattr(total, field) * factor for field in total.__struct_fields__}
    return replace(result, runs=(first, replace(first, batch=3, end_to_end=replace(total, **rates))))


def test_a_batch_size_is_the_fastest_only_beyond_the_noise() -> None:
    close, far = (render_benchmark(slowed(measured(), factor)) for factor in (0.99, 0.5))
    assert "Batch 3 is not slower by more than the rounds differ." in close
    assert "Batch 3 is not slower" not in far


def test_landmarks_of_a_page_have_names_of_their_own() -> None:
    for html in tops("old.digits", "new.digits"):
        regions = [attrs for _, attrs in Page(html).elements if attrs.get("role") == "region"]
        names = [attrs.get("aria-label") or attrs.get("aria-labelledby") for attrs in regions]
        assert len(names) == len(set(names))
