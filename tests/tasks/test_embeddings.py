"""A bundle without classes through everything that takes a bundle: embeddings come out, or a reason is given."""

import csv
import io
import json
from contextlib import closing
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from tests.conftest import NETWORK
from tests.support.samples import drawn_tensors, encoded, labelled, picture
from xception import load
from xception.arch.spec import Pooling
from xception.backends.base import open_session, run_in_batches
from xception.bundle import Bundle, Network, open_bundle, write_bundle
from xception.cli.app import run
from xception.errors import CheckFailed, UsageError
from xception.export import program
from xception.export.export import export_bundle
from xception.export.fold import folded
from xception.export.program import GraphOptions
from xception.export.request import ExportRequest
from xception.export.targets import write_export
from xception.export.verify import TOLERANCES
from xception.forms import FORMS, Form, exportable
from xception.labels import NO_LABELS, Labels
from xception.models.network import build
from xception.pipeline.engine import Engine
from xception.quantize.quantize import quantize_bundle
from xception.tasks.agreement import probe_pixels
from xception.tasks.compare import compare
from xception.tasks.evaluate import evaluate
from xception.tasks.predictions import Predictions
from xception.tasks.sinks import write_csv, write_json, write_table
from xception.tasks.vendor_results import write_results
from xception.train.finetune import starting_tensors
from xception.weights import read_weights, weights_bytes

FEATURES = 64
EMBEDDER = msgspec.structs.replace(NETWORK, num_classes=0)


@pytest.fixture(scope="module")
def embedder(weights_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    model = msgspec.structs.replace(weights_bundle.model, network=EMBEDDER, activation="none")
    weights = weights_bytes(drawn_tensors(EMBEDDER.architecture()))
    path = tmp_path_factory.mktemp("embedder") / "bundle"
    return write_bundle(path, model, NO_LABELS, {"weights.safetensors": weights})


def test_a_bundle_without_classes_has_no_label_file_and_opens_again(embedder: Bundle) -> None:
    assert open_bundle(embedder.path, verify=True) == embedder
    assert not (embedder.path / "labels.txt").exists()
    assert repr(embedder).endswith("mini_xception, embeddings of 64 features, weights, float32)")


def test_labels_of_embeddings_are_not_written(embedder: Bundle, tmp_path: Path) -> None:
    files = {"weights.safetensors": embedder.main_file}
    with pytest.raises(UsageError, match="1 labels for a network of 0 classes"):
        write_bundle(tmp_path / "named", embedder.model, Labels(("ant",)), files)


def test_the_embedding_is_the_networks_pooled_map(embedder: Bundle) -> None:
    network = build(embedder.model.network.architecture(), read_weights(embedder.main_file)).eval()
    with load(embedder, mode="reference") as model, torch.inference_mode():
        pixels = torch.from_numpy(model.preprocess(picture()))[None]
        expected = network.feature_map(pixels).mean((2, 3))[0].numpy()
        answers = model([picture(), picture(seed=1)])
        assert repr(model) == "ImageClassifier('small': mini_xception, embeddings of 64 features, in torch)"
        assert model.labels == ()
        assert model(picture()).embedding == pytest.approx(expected, rel=1e-5)
        assert answers.embeddings.shape == (2, FEATURES)
        assert not np.array_equal(answers.embeddings[0], answers.embeddings[1])
        # A classifier on top of the same features is one line.
        assert model.module(num_classes=5)(pixels).shape == (1, 5)


def test_a_classifiers_module_without_classes_gives_the_same_features(weights_bundle: Bundle) -> None:
    with load(weights_bundle) as model, torch.inference_mode():
        pixels = torch.from_numpy(model.preprocess(picture()))[None]
        assert torch.equal(model.module(num_classes=0)(pixels), model.module().embed(pixels))
        with pytest.raises(UsageError, match="the model gives classes"):
            _ = model(picture()).embedding


def test_labels_of_embeddings_are_refused_with_what_there_is_instead(embedder: Bundle) -> None:
    with load(embedder) as model:
        answers = model(picture())
        for ask in (lambda: answers.label, lambda: answers.probability, lambda: answers[0].label):
            with pytest.raises(UsageError, match="has no classes, and so gives no label; its answer is the embedding"):
                ask()


def test_failures_keep_their_place_among_embeddings(embedder: Bundle) -> None:
    with load(embedder) as model:
        answers = model([b"broken", picture()])
    assert np.isnan(answers.embeddings[0]).all()
    assert np.isfinite(answers.embeddings[1]).all()
    table = answers.to_pandas()
    assert [*table.columns] == ["path", "failure", *(f"f{index}" for index in range(FEATURES))]
    assert table["failure"].notna().tolist() == [True, False]
    assert table.loc[1, "f3"] == answers.embeddings[1, 3]
    with pytest.raises(UsageError, match="none of the 1 images has an embedding"):
        _ = Predictions(answers[:1]).embeddings


def test_every_sink_writes_embeddings_exactly(embedder: Bundle) -> None:
    with Engine.open(embedder) as engine:
        answers = list(engine.predict([picture(), b"broken"], max_wait_s=None))
    expected = answers[0].embedding.tolist()
    texts = {}
    for name, write in (("table", write_table), ("csv", partial(write_csv, features=FEATURES)), ("json", write_json)):
        stream = io.StringIO()
        write(answers, stream)
        texts[name] = stream.getvalue()
    document = json.loads(texts["json"])
    assert document["predictions"] == [{"path": answers[0].path, "embedding": expected}]
    assert (document["seen"], document["failed"]) == (1, 1)
    first, failed = csv.DictReader(io.StringIO(texts["csv"]))
    assert [np.float32(first[f"f{index}"]) for index in range(FEATURES)] == [np.float32(value) for value in expected]
    assert (first["failure"], failed["f0"]) == ("", "")
    assert failed["failure"]
    assert "embedding of 64 features (" in texts["table"].splitlines()[0]


def test_the_command_line_predicts_embeddings(
    embedder: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.png").write_bytes(encoded(picture()))
    assert run(["predict", str(embedder.path), str(tmp_path), "--csv"]) == 0
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert len(row) == 2 + FEATURES
    assert run(["info", str(embedder.path)]) == 0
    shown = capsys.readouterr().out
    assert "embeddings of 64 features" in shown
    assert "avg pooling, no classifier" in shown


@pytest.mark.parametrize("form", [form for form in exportable() if FORMS[form].backends])
def test_every_form_carries_the_embedding(form: Form, embedder: Bundle, tmp_path: Path) -> None:
    assert_carried(embedder, form, tmp_path)


def test_a_graph_carries_averages_and_maxima_in_a_row(weights_bundle: Bundle, tmp_path: Path) -> None:
    parent = aligned(tmp_path / "parent", weights_bundle, "catavgmax")
    assert parent.model.network.num_outputs == 2 * parent.model.network.architecture().head.in_channels
    assert_carried(parent, "onnx", tmp_path)


def assert_carried(parent: Bundle, form: Form, folder: Path) -> None:
    pixels = probe_pixels(parent)
    expected = run_in_batches(open_session(parent), pixels, 4)
    exported = export_bundle(parent, form, folder / form)
    assert exported.model.agreement is not None
    assert exported.model.agreement.relative_diff <= TOLERANCES["float32"]
    assert (exported.graph.output_name, exported.graph.output_values) == ("embedding", "embedding")
    for backend in FORMS[form].backends:
        with closing(open_session(exported, backend)) as session:
            assert session.facts.num_outputs == expected.shape[1]
            found = run_in_batches(session, pixels, 4)
        assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()


def aligned(path: Path, like: Bundle, pooling: Pooling) -> Bundle:
    """A narrow network of a head that may pool otherwise."""
    network = Network(variant="timm_xception", num_classes=0, in_channels=3, width=0.03, pooling=pooling)
    model = msgspec.structs.replace(like.model, network=network, activation="none")
    tensors = drawn_tensors(network.architecture())
    return write_bundle(path, model, NO_LABELS, {"weights.safetensors": weights_bytes(tensors)})


def test_an_export_that_differs_is_not_written(
    embedder: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def perturbed(*arguments: object) -> object:
        nodes, values = folded(*arguments)
        return nodes, values | {"stem.0.conv.weight": values["stem.0.conv.weight"] * np.float32(1.01)}

    monkeypatch.setattr(program, "folded", perturbed)
    with pytest.raises(CheckFailed, match="nothing was written"):
        export_bundle(embedder, "onnx", tmp_path / "out")


@pytest.mark.parametrize("options", [{"probabilities": True}, {"top_k": 2}, {"class_maps": True}])
def test_outputs_that_need_classes_are_refused(options: dict[str, object], embedder: Bundle, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"has no classes, whose|without classes has no class maps"):
        export_bundle(embedder, "onnx", tmp_path / "out", options=GraphOptions(**options))


def test_all_that_judges_classes_refuses_with_the_way_out(
    embedder: Bundle, weights_bundle: Bundle, tmp_path: Path
) -> None:
    source = labelled(7)
    exported = export_bundle(embedder, "onnx", tmp_path / "onnx")
    with Engine.open(embedder) as engine, Engine.open(weights_bundle) as other:
        refused = [
            lambda: evaluate(engine, source),
            lambda: compare(other, engine, source),
            lambda: compare(engine, other, source),
            lambda: write_results("ascend", tmp_path / "results", engine, source),
            lambda: quantize_bundle(exported, source, tmp_path / "int8"),
            lambda: write_export(ExportRequest(bundle=embedder, to="ascend", out=tmp_path / "pack")),
        ]
        for judge in refused:
            with pytest.raises(UsageError, match=r"has no classes: its answers are embeddings of 64 .* --new-head of"):
                judge()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["onnx"]


def test_triton_gets_no_labels(embedder: Bundle, tmp_path: Path) -> None:
    write_export(ExportRequest(bundle=embedder, to="triton", out=tmp_path / "model"))
    assert "label_filename" not in (tmp_path / "model" / "config.pbtxt").read_text()
    assert not (tmp_path / "model" / "labels.txt").exists()


def test_training_starts_from_it_with_a_new_classifier(embedder: Bundle) -> None:
    own = load_file(embedder.main_file)
    start = starting_tensors(embedder, 3, ("ant", "bee"))
    assert start["head.classifier.weight"].shape[0] == start["head.classifier.bias"].shape[0] == 2
    assert all(np.array_equal(start[name], value) for name, value in own.items())


def test_classes_below_none_and_hidden_layers_without_classes_are_refused() -> None:
    with pytest.raises(UsageError, match="a network cannot have -1 classes; expected 0 to"):
        msgspec.structs.replace(EMBEDDER, num_classes=-1).architecture()
    with pytest.raises(UsageError, match="without classes has no hidden layer"):
        Network(variant="timm_xception", num_classes=0, in_channels=3, hidden_features=4).architecture()
