"""One object for Python: loaded by any name, called with any images."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.convert.checkpoints import drawn, write_keras
from tests.support.samples import CLASSES, encoded, picture, write_folder
from xception import ImageClassifier, load
from xception.bundle import Bundle, open_bundle
from xception.data.sources import open_source
from xception.errors import InputError, UsageError
from xception.pipeline.engine import Engine
from xception.tasks.evaluate import evaluate


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def model(weights_bundle: Bundle) -> ImageClassifier:
    return load(weights_bundle)


def test_a_model_says_what_it_is(model: ImageClassifier, weights_bundle: Bundle) -> None:
    assert repr(model) == "ImageClassifier('small': mini_xception, 7 classes, in torch)"
    assert model.bundle == weights_bundle
    assert model.labels == CLASSES


def test_a_checkpoint_is_loaded_as_its_bundle_is(tmp_path: Path) -> None:
    file = write_keras(tmp_path / "faces.h5", drawn("mini_xception", width=0.5))
    with load(str(file)) as first, load(file) as second:
        assert first.bundle.model.name == "faces"
        assert first.bundle.path == second.bundle.path
        assert first(picture()).label in first.labels
        with load(first.bundle.path, backend="torch", batch_size=2) as third:
            assert third(picture()) == first(picture())


def test_a_threshold_names_all_classes_that_reach_it(model: ImageClassifier) -> None:
    everything = model(picture(), top=len(CLASSES))[0].top
    best, third = everything[0].probability, everything[2].probability
    assert best is not None
    assert third is not None
    assert model(picture(), threshold=third)[0].top == everything[:3]
    assert model(picture(), threshold=(1 + best) / 2)[0].top == ()
    with pytest.raises(UsageError, match="expected a probability"):
        model(picture(), threshold=2)


def test_images_are_taken_in_every_form(model: ImageClassifier, tmp_path: Path) -> None:
    photo = tmp_path / "photos" / "a.png"
    photo.parent.mkdir()
    photo.write_bytes(encoded(picture()))
    array = np.asarray(picture())
    tensor = torch.from_numpy(array.transpose(2, 0, 1).copy())
    expected = model(picture())
    for images in (
        photo,
        str(photo),
        photo.read_bytes(),
        Image.open(photo),
        io.BytesIO(photo.read_bytes()),
        picture(),
        array,
        tensor,
        photo.parent,
        [photo],
        [array],
    ):
        (prediction,) = model(images)
        assert prediction.top == expected[0].top
    for several in ([photo, picture(), array, tensor], np.stack([array] * 4), torch.stack([tensor] * 4)):
        # Several images in one batch are computed in another order than one.
        table = model(several).to_pandas()
        assert table["label"].tolist() == expected.to_pandas()["label"].tolist() * 4
        assert table["probability"].to_numpy() == pytest.approx([*expected.to_pandas()["probability"]] * 4)


def test_the_answers_are_the_engines(model: ImageClassifier, weights_bundle: Bundle) -> None:
    pictures = [picture(seed=seed) for seed in range(9)]
    with Engine.open(weights_bundle) as engine:
        assert model(pictures, top=2) == list(engine.predict(pictures, top=2, max_wait_s=None))


def test_a_file_that_cannot_be_read_fails_in_its_place(model: ImageClassifier, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"broken")
    predictions = model([tmp_path / "a.png", picture()])
    assert [failure.key for failure in predictions.failures] == [str(tmp_path / "a.png")]
    with pytest.raises(InputError, match="does not exist"):
        model("nowhere.png")


def test_preprocess_and_module_make_the_models_logits(model: ImageClassifier) -> None:
    module = model.module()
    pixels = torch.from_numpy(model.preprocess(picture()))[None]
    with torch.inference_mode():
        probabilities = module(pixels).softmax(1)[0]
        maps = module.features(pixels)
    best = model.labels.index(model(picture()).label)
    assert int(probabilities.argmax()) == best
    assert not module.training
    assert {stride: value.shape[1] for stride, value in maps.items()} == module.feature_channels


def test_a_module_may_start_with_a_new_classifier_on_the_same_features(model: ImageClassifier) -> None:
    module, own = model.module(num_classes=3), model.module()
    pixels = torch.randn(1, 3, 32, 32)
    with torch.inference_mode():
        assert module(pixels).tolist() == [[0, 0, 0]]
        for stride, value in own.features(pixels).items():
            assert torch.equal(module.features(pixels)[stride], value)


@pytest.mark.parametrize("classes", [2.5, "3"])
def test_a_number_of_classes_is_a_whole_one(model: ImageClassifier, classes: object) -> None:
    with pytest.raises(UsageError, match="num_classes has to be of type int"):
        model.module(num_classes=classes)


def test_preprocessing_takes_images_alone(model: ImageClassifier) -> None:
    with pytest.raises(UsageError, match="preprocessing takes a Pillow image; got str"):
        model.preprocess("photo.jpg")


def test_a_graph_has_no_module(onnx_bundle: Bundle) -> None:
    with load(onnx_bundle) as model, pytest.raises(UsageError, match="holds a graph"):
        model.module()


def test_evaluation_and_export_are_those_of_the_functions(model: ImageClassifier, tmp_path: Path) -> None:
    data = write_folder(tmp_path / "data")
    assert model.evaluate(data) == model.evaluate(str(data)) == evaluate(model.engine, open_source(data))
    exported = model.export("onnx", tmp_path / "onnx")
    assert open_bundle(tmp_path / "onnx").model.lineage[-1].parent == model.bundle.model.digest
    with load(exported) as graph:
        assert graph(picture()).label == model(picture()).label


def test_what_names_no_model_is_refused() -> None:
    with pytest.raises(UsageError, match="a model is named by a path or a name; got int"):
        load(3)
    with pytest.raises(InputError, match="nothing does not exist; expected a bundle"):
        load("nothing")
