"""Each candidate as it is, and each of the mistakes that are close to it."""

import json
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import numpy as np
import pytest

from tests.support.reader import weights_of_digits
from xception.bundle import Bundle, Certificate, open_bundle
from xception.cli.app import run
from xception.data.digits import digits
from xception.errors import CheckFailed, InputError, UsageError
from xception.export.export import export_bundle
from xception.export.onnx import onnx_files
from xception.export.program import program
from xception.goldens import answers, read_goldens, write_with_goldens
from xception.interchange.ascend import write_ascend_results
from xception.labels import Labels
from xception.metrics import softmax
from xception.preprocess import CenterCrop, Preprocess, ShorterSide
from xception.proof import Proof, prove_candidate, write_golden_images
from xception.quantize.quantize import quantize_bundle
from xception.weights import weights_bytes


def proof_of(candidate: Path, reference: Bundle, **options: object) -> Proof:
    (found,) = prove_candidate(candidate, reference, **options)
    return found


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("proof")


@pytest.fixture(scope="module")
def weights(weights_bundle: Bundle, place: Path) -> Bundle:
    """The tests' network of three channels, with goldens."""
    return varied(weights_bundle, place / "weights")


@pytest.fixture(scope="module")
def onnx_form(weights: Bundle, place: Path) -> Bundle:
    return export_bundle(weights, "onnx", place / "onnx")


def varied(
    bundle: Bundle,
    out: Path,
    tensors: Callable[[Mapping[str, np.ndarray]], Mapping[str, np.ndarray]] = lambda found: found,
    labels: Labels | None = None,
    preprocess: Preprocess | None = None,
) -> Bundle:
    """A bundle of weights with one thing changed, and goldens of its own."""
    model = msgspec.structs.replace(bundle.model, preprocess=preprocess or bundle.model.preprocess)
    files = {"weights.safetensors": weights_bytes(tensors(open_bundle(bundle.path).tensors()))}
    return write_with_goldens(out, model, labels or bundle.labels, files)


def nudged(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """As another epoch leaves them: each number a little different."""
    rng = np.random.default_rng(0)
    return {
        name: (value * (1 + 1e-3 * rng.normal(size=value.shape))).astype(np.float32) for name, value in tensors.items()
    }


@pytest.mark.parametrize("form", ["onnx", "openvino", "litert"])
def test_an_export_and_its_graph_file_are_the_model(form: str, weights: Bundle, tmp_path: Path) -> None:
    exported = export_bundle(weights, form, tmp_path / "out")
    found = proof_of(exported.path, weights)
    assert found.passed
    assert max(result.relative_diff for result in found.goldens) <= 1e-5
    assert [(link.verb, link.status) for link in found.lineage] == [("export", "proven")]
    shutil.copytree(exported.path, tmp_path / "alone")
    for name in ("model.json", "labels.txt", "goldens.safetensors"):
        (tmp_path / "alone" / name).unlink()
    assert proof_of(tmp_path / "alone" / exported.main_file.name, weights).passed


def test_a_bundle_is_itself_and_its_childs_parent(weights: Bundle, onnx_form: Bundle) -> None:
    assert proof_of(weights.path, weights).goldens[0].relative_diff == 0
    assert proof_of(weights.path, onnx_form).passed


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"tensors": nudged}, r"golden \d differs by \S+ of the largest answer, more than 1e-05"),
        ({"preprocess": "bgr"}, r"golden \d differs by .*, and its input by \d"),
        ({"preprocess": "resize"}, r"golden \d differs by .*, and its input by \d"),
        ({"preprocess": "interpolation"}, r"golden \d differs by .*, and its input by \d"),
        ({"preprocess": "mean"}, r"golden \d differs by .*, and its input by \d"),
        ({"labels": Labels(("bee", "ant", "cat", "dog", "eel", "fox", "gnu"))}, "class 0 is called 'bee' instead of"),
    ],
    ids=["another epoch", "bgr for rgb", "another resize", "another filter", "another mean", "swapped classes"],
)
def test_what_is_close_to_the_model_is_not_it(
    change: dict[str, object], words: str, weights: Bundle, tmp_path: Path
) -> None:
    own = weights.model.preprocess
    preprocesses = {
        "bgr": msgspec.structs.replace(own, color="bgr"),
        "resize": msgspec.structs.replace(own, resize=ShorterSide(px=40), crop=CenterCrop(width_px=32, height_px=32)),
        "interpolation": msgspec.structs.replace(own, interpolation="bicubic"),
        "mean": msgspec.structs.replace(own, mean=(0.49, 0.5, 0.5)),
    }
    if isinstance(change.get("preprocess"), str):
        change = {"preprocess": preprocesses[change["preprocess"]]}
    found = proof_of(varied(weights, tmp_path / "other", **change).path, weights)
    assert not found.passed
    assert re.search(words, "; ".join(found.faults))


@pytest.mark.parametrize(("more", "passed"), [(0.0, True), (9e-4, False)])
def test_a_graph_with_another_epsilon_is_not_the_model(
    more: float, passed: bool, weights: Bundle, tmp_path: Path
) -> None:
    # Epsilon is added to the variance, and so is what is added here.
    tensors = {
        name: value + np.float32(more) if name.endswith("running_var") else value
        for name, value in open_bundle(weights.path).tensors().items()
    }
    made = program(weights.model.network.architecture(), tensors, weights.model.preprocess)
    (tmp_path / "model.onnx").write_bytes(onnx_files(made)["model.onnx"])
    found = proof_of(tmp_path / "model.onnx", weights)
    assert found.passed is passed
    assert passed or "of the largest answer, more than 1e-05" in found.faults[0]


@pytest.fixture(scope="module")
def chain(place: Path) -> tuple[Bundle, Bundle, Bundle]:
    return quantized(weights_of_digits(place / "digits"), place / "chain")


def quantized(weights: Bundle, out: Path) -> tuple[Bundle, Bundle, Bundle]:
    graph = export_bundle(weights, "onnx", out / "onnx")
    int8, _ = quantize_bundle(graph, digits("train"), out / "int8", method="max", tolerance=0.5)
    return weights, graph, int8


def test_a_whole_chain_is_proven_link_by_link(chain: tuple[Bundle, Bundle, Bundle]) -> None:
    weights, graph, int8 = chain
    found = proof_of(int8.path, weights, via=[graph])
    assert (found.passed, found.precision) == (True, "int8")
    assert [(link.verb, link.status) for link in found.lineage] == [("export", "proven"), ("quantize", "proven")]
    without = proof_of(int8.path, weights)
    assert [link.status for link in without.lineage] == ["stated", "stated"]
    assert "is not at hand" in without.lineage[1].reason


def test_a_candidate_answers_once_even_if_the_reference_is_its_parent(
    weights: Bundle, onnx_form: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def answering(bundle: Bundle, pixels: list[np.ndarray]) -> list[np.ndarray]:
        asked.append(bundle.path)
        return answers(bundle, pixels)

    monkeypatch.setattr("xception.proof.answers", answering)
    found = proof_of(onnx_form.path, weights)
    assert [(link.verb, link.status) for link in found.lineage] == [("export", "proven")]
    assert asked == [onnx_form.path]


def test_int8_of_another_parent_is_not_the_model(chain: tuple[Bundle, Bundle, Bundle], tmp_path: Path) -> None:
    weights, graph, int8 = chain
    other = quantized(varied(weights, tmp_path / "weights", nudged), tmp_path)[2]
    (fault,) = proof_of(other.path, weights).faults
    assert f"{weights.model.digest[:12]} is not among its ancestors" in fault
    assert "more than 0.02" in proof_of(other.path, int8).faults[0]
    assert "could be those of another parent" in proof_of(other.main_file, weights).faults[0]
    assert proof_of(int8.main_file, weights, via=[graph, int8]).passed
    assert proof_of(int8.main_file, int8).passed


def test_a_history_that_does_not_fit_is_broken(chain: tuple[Bundle, Bundle, Bundle], tmp_path: Path) -> None:
    _, graph, int8 = chain
    steps = (msgspec.structs.replace(graph.model.lineage[0], verb="convert", parent=None), *int8.model.lineage[1:])
    files = {int8.main_file.name: int8.content()}
    forged = write_with_goldens(
        tmp_path / "forged", msgspec.structs.replace(int8.model, lineage=steps), int8.labels, files
    )
    found = proof_of(forged.path, graph)
    assert [(link.verb, link.status) for link in found.lineage][-1] == ("quantize", "broken")
    assert "its history before is another one" in found.faults[-1]


def test_a_certificate_proves_the_conversion(weights: Bundle, onnx_form: Bundle, tmp_path: Path) -> None:
    step = msgspec.structs.replace(onnx_form.model.lineage[0], verb="convert", parent=None, settings={"file": "x.pth"})
    certificate = Certificate(
        source="timm", versions={"timm": "1.0"}, sizes_px=(32,), agreement=onnx_form.model.agreement
    )
    for given, status in ((certificate, "proven"), (None, "stated")):
        model = msgspec.structs.replace(weights.model, lineage=(step,), certificate=given)
        files = {"weights.safetensors": open_bundle(weights.path).content()}
        made = write_with_goldens(tmp_path / status, model, weights.labels, files)
        (link,) = proof_of(made.path, made).lineage
        assert link.status == status


def test_results_of_a_chip_are_compared_by_the_images_names(weights: Bundle, tmp_path: Path) -> None:
    assert write_golden_images(weights, tmp_path / "images") == ("golden-0.png", "golden-1.png", "golden-2.png")
    logits = [golden.logits for golden in read_goldens(weights)]
    rows = {"right": logits, "probabilities": [softmax(row[None])[0] for row in logits], "wrong": logits[::-1]}
    for name, given in rows.items():
        (tmp_path / name).mkdir()
        named = [(f"golden-{number}.png", row.astype(np.float32)) for number, row in enumerate(given)]
        write_ascend_results(tmp_path / name, iter(named))
        found = proof_of(tmp_path / name, weights, vendor="ascend", precision="float16")
        assert (found.passed, found.tolerance) == (name != "wrong", 2e-2)
    for file in (tmp_path / "right").rglob("golden-1*"):
        file.unlink()
    with pytest.raises(InputError, match="has no result of golden-1"):
        proof_of(tmp_path / "right", weights, vendor="ascend")


def test_anything_else_is_named(weights: Bundle, tmp_path: Path) -> None:
    (tmp_path / "x.txt").touch()
    with pytest.raises(UsageError, match="is no bundle, pack or graph"):
        prove_candidate(tmp_path / "x.txt", weights)
    (tmp_path / "pack.json").write_text("{}")
    with pytest.raises(CheckFailed, match="is not the pack that was written"):
        prove_candidate(tmp_path, weights)


def test_the_command_ends_with_1_and_the_figure_where_it_is_another_model(
    weights: Bundle, onnx_form: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = varied(weights, tmp_path / "other", nudged)
    assert run(["prove", str(onnx_form.path), "--as", str(weights.path)]) == 0
    assert "export" in capsys.readouterr().out
    assert run(["prove", str(other.path), "--as", str(weights.path)]) == 1
    assert "of the largest answer, more than 1e-05" in capsys.readouterr().err
    assert run(["prove", str(other.path), "--as", str(weights.path), "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["passed"] is False
    assert document["proofs"][0]["digest"] == weights.model.digest
    assert run(["prove", "--as", str(weights.path), "--write-images", str(tmp_path / "images")]) == 0
    assert run(["prove", "--as", str(weights.path)]) == 2
