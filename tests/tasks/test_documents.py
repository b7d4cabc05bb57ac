from pathlib import Path

import msgspec
import pytest

from tests.support.rows import write_rows_of_sets
from tests.support.samples import labelled
from xception.bundle import Bundle
from xception.data.source import Source
from xception.errors import InputError
from xception.pipeline.engine import Engine
from xception.tasks.documents import compare_documents
from xception.tasks.evaluate import evaluate
from xception.tasks.scored_rows import evaluate_rows


def document(place: Path, bundle: Bundle, source: Source, **options: object) -> Path:
    with Engine.open(bundle) as engine:
        place.write_bytes(msgspec.json.encode(evaluate(engine, source, **options)))
    return place


def test_two_evaluations_of_the_same_images_differ_in_what_was_done_otherwise(
    onnx_bundle: Bundle, tmp_path: Path
) -> None:
    first = document(tmp_path / "a.json", onnx_bundle, labelled(20))
    second = document(tmp_path / "b.json", onnx_bundle, labelled(20), tta="flip")
    found = compare_documents(first, second)
    assert [(row.name, row.first, row.second) for row in found.conditions] == [("options.tta", None, "flip")]
    assert {"loss", "balanced_loss", "brier_score", "average_precision"} <= {row.name for row in found.figures}
    same = compare_documents(first, first)
    assert (same.conditions, same.figures) == ((), ())


def test_figures_of_multi_label_data_are_compared_as_others_are(tmp_path: Path) -> None:
    documents = []
    for name, logits in {"a": [3, -2, 1], "b": [3, -2, -3]}.items():
        write_rows_of_sets(rows := tmp_path / f"{name}.jsonl", logits)
        documents.append(tmp_path / f"{name}.json")
        documents[-1].write_bytes(msgspec.json.encode(evaluate_rows(rows)))
    changed = {row.name: (row.first, row.second) for row in compare_documents(*documents).figures}
    assert changed["label_sets.mean_average_precision"] == (1, pytest.approx(5 / 6))
    assert {"label_sets.micro.f1", "label_sets.exact_match", "macro.recall", "loss"} <= changed.keys()


def test_a_figure_that_one_document_lacks_is_named_and_not_compared(onnx_bundle: Bundle, tmp_path: Path) -> None:
    whole = document(tmp_path / "a.json", onnx_bundle, labelled(20))
    older = {name: value for name, value in msgspec.json.decode(whole.read_bytes()).items() if name != "brier_score"}
    (tmp_path / "b.json").write_bytes(msgspec.json.encode(older))
    found = compare_documents(whole, tmp_path / "b.json")
    assert (found.figures, found.only_in_one) == ((), ("brier_score",))


def test_evaluations_of_other_images_are_refused(onnx_bundle: Bundle, tmp_path: Path) -> None:
    first = document(tmp_path / "a.json", onnx_bundle, labelled(20))
    second = document(tmp_path / "b.json", onnx_bundle, labelled(21))
    with pytest.raises(InputError, match="not the same images with the same labels"):
        compare_documents(first, second)


@pytest.mark.parametrize("text", ["{}", "no JSON"])
def test_what_is_no_evaluation_is_refused(text: str, onnx_bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "b.json").write_text(text)
    with pytest.raises(InputError, match=r"b\.json holds no evaluation"):
        compare_documents(document(tmp_path / "a.json", onnx_bundle, labelled(3)), tmp_path / "b.json")


def test_an_evaluation_without_provenance_is_refused(onnx_bundle: Bundle, tmp_path: Path) -> None:
    file = document(tmp_path / "a.json", onnx_bundle, labelled(3))
    file.write_bytes(msgspec.json.encode(msgspec.json.decode(file.read_bytes()) | {"provenance": None}))
    with pytest.raises(InputError, match="does not say how it was made"):
        compare_documents(file, file)
