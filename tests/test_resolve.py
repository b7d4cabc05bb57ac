"""Names of models: every way to name one leads to the same bundle, and no work is done twice."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from parity.ours import draw
from tests.conftest import S3Server
from tests.convert.checkpoints import drawn, hollow, small, write_keras, write_safetensors, write_torch
from tests.convert.file_server import FileServer, Served, serving
from tests.convert.make_samples import SAMPLES
from xception import resolve
from xception.bundle import MANIFEST, Bundle, open_bundle
from xception.convert.catalog import CATALOG
from xception.convert.conversion import Conversion, convert_checkpoint
from xception.errors import AmbiguousName, EnvironmentFault, InputError, UsageError
from xception.goldens import read_goldens
from xception.labels import imagenet1k
from xception.machine import cache_folder
from xception.resolve import described_bundle, look_up, packages_to_get, resolve_model

HUB_NAME = "timm/xception41.tf_in1k"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return cache_folder()


@pytest.fixture(scope="module")
def hub_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A narrow network of 1,000 classes as a hub offers it."""
    file = write_safetensors(
        tmp_path_factory.mktemp("hub") / "model.safetensors", draw(small("timm_xception41", num_classes=1000))
    )
    return {"config.json": json.dumps({"architecture": "xception41"}).encode(), file.name: file.read_bytes()}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, hub_files: dict[str, bytes]) -> Iterator[FileServer]:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "XCEPTION_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    with serving() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        for name, content in hub_files.items():
            server.files[f"/{HUB_NAME}/resolve/main/{name}"] = Served(content)
        yield server


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_torch(tmp_path_factory.mktemp("file") / "flowers.pth", drawn("timm_xception41"))


@pytest.fixture
def conversions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are converted from now on."""
    done: list[str] = []
    real = convert_checkpoint

    def counted(checkpoint: object, **options: object) -> object:
        done.append(checkpoint.path.name)  # type: ignore[attr-defined]
        return real(checkpoint, **options)

    monkeypatch.setattr(resolve, "convert_checkpoint", counted)
    return done


def test_a_bundle_its_folder_and_a_training_runs_folder_are_opened_as_they_are(
    weights_bundle: Bundle, tmp_path: Path, cache: Path
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "bundle").symlink_to(weights_bundle.path)
    assert resolve_model(weights_bundle) is weights_bundle
    assert resolve_model(weights_bundle.path).path == weights_bundle.path
    assert resolve_model(str(tmp_path / "run"), verify=True).path == tmp_path / "run" / "bundle"
    assert not cache.exists()


def test_a_checkpoint_is_converted_once_and_kept_as_a_whole_bundle(
    file: Path, cache: Path, conversions: list[str]
) -> None:
    notes: list[str] = []
    first = resolve_model(str(file), on_note=notes.append)
    second = resolve_model(file, on_note=notes.append)
    assert conversions == ["flowers.pth"]
    assert (second.path, second.model) == (first.path, first.model)
    assert first.path.parent == cache / "bundles"
    assert (first.model.name, first.model.network.num_classes) == ("flowers", 11)
    assert len(read_goldens(second)) == 3
    assert open_bundle(first.path, verify=True).model == first.model
    assert notes == [f"{file}: read as timm_xception41 with 11 classes; the bundle is kept in {first.path}"]


def test_other_content_under_the_same_name_is_another_model(tmp_path: Path, conversions: list[str]) -> None:
    values = drawn("timm_xception41")
    first = resolve_model(write_torch(tmp_path / "w.pth", values))
    name = next(name for name, value in values.items() if value.ndim == 4)
    second = resolve_model(write_torch(tmp_path / "w.pth", values | {name: values[name] + 1}))
    assert first.path != second.path
    assert first.model.files != second.model.files
    assert conversions == ["w.pth", "w.pth"]


def test_what_lies_beside_the_tensors_decides_too(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "model.safetensors", drawn("timm_xception41"))
    bundles = []
    for mean in ([0.1, 0.2, 0.3], [0.4, 0.5, 0.6]):
        config = {"pretrained_cfg": {"input_size": [3, 299, 299], "mean": mean}}
        (tmp_path / "config.json").write_text(json.dumps(config))
        bundles.append(resolve_model(tmp_path))
    assert [bundle.model.preprocess.mean for bundle in bundles] == [(0.1, 0.2, 0.3), (0.4, 0.5, 0.6)]


def test_every_file_of_weights_decides_which_kept_bundle_it_is(tmp_path: Path) -> None:
    values = drawn("timm_xception41")
    head = {name: value for name, value in values.items() if name.startswith("head.")}
    index = {name: f"model-0000{2 if name in head else 1}-of-00002.safetensors" for name in values}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "xception41"}))
    body = {name: value for name, value in values.items() if name not in head}
    write_safetensors(tmp_path / "model-00001-of-00002.safetensors", body)
    biases = []
    for shift in (0, 1):
        moved = {name: value + np.float32(shift) for name, value in head.items()}
        write_safetensors(tmp_path / "model-00002-of-00002.safetensors", moved)
        biases.append(resolve_model(tmp_path).tensors()["head.classifier.bias"])
    np.testing.assert_allclose(biases[1], biases[0] + 1, rtol=1e-6)


def test_another_state_of_the_package_converts_anew(
    file: Path, conversions: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve_model(file)
    monkeypatch.setattr(resolve, "_code", lambda: "another")
    resolve_model(file)
    assert conversions == ["flowers.pth", "flowers.pth"]


def test_a_kept_bundle_that_is_not_whole_is_made_again(file: Path, conversions: list[str]) -> None:
    kept = resolve_model(file)
    kept.main_file.write_bytes(b"cut")
    assert resolve_model(file).model == kept.model
    (kept.path / MANIFEST).unlink()
    assert open_bundle(resolve_model(file).path, verify=True).model == kept.model
    assert conversions == ["flowers.pth"] * 3


def test_a_conversion_that_fails_leaves_nothing_in_the_cache(
    file: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("xception.bundle._store", broken)
    with pytest.raises(EnvironmentFault, match=r"No space left on device.*XDG_CACHE_HOME"):
        resolve_model(file)
    assert [path for path in cache.rglob("*") if path.is_file()] == []


def test_a_bundle_that_another_process_put_there_meanwhile_is_taken(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = resolve_model(file)

    def too_late(*_: object, **__: object) -> None:
        raise EnvironmentFault("cannot write: Directory not empty")

    monkeypatch.setattr(Conversion, "write", too_late)
    # As if it had not been there at the first look.
    looks = iter([None, made])
    monkeypatch.setattr(resolve, "_open_kept", lambda *_, **__: next(looks))
    assert resolve_model(file) is made


def test_the_prefix_of_a_tensorflow_checkpoint_is_a_model(tmp_path: Path) -> None:
    assert look_up(SAMPLES / "tensorflow.ckpt-5").path == SAMPLES / "tensorflow.ckpt-5"
    assert described_bundle(SAMPLES / "tensorflow.ckpt-5") is None


@pytest.mark.parametrize("reference", [f"hf-hub:{HUB_NAME}", "timm_xception41.tf_in1k", "xception41.tf_in1k"])
def test_published_weights_are_fetched_converted_and_kept(
    reference: str, hub: FileServer, conversions: list[str]
) -> None:
    assert packages_to_get(reference) == ("httpx",)
    bundle = resolve_model(reference)
    assert resolve_model(reference).model == bundle.model
    assert packages_to_get(reference) == ()
    assert (len(hub.requests), len(conversions)) == (2, 1)
    assert bundle.model.name == "timm_xception41.tf_in1k"
    assert bundle.model.preprocess == CATALOG["timm_xception41.tf_in1k"].preprocess
    assert bundle.labels == imagenet1k()


def test_a_hubs_model_that_is_not_in_the_catalog_has_the_hubs_name(
    hub: FileServer, hub_files: dict[str, bytes]
) -> None:
    for name, content in hub_files.items():
        hub.files[f"/me/mine.v1/resolve/two/{name}"] = Served(content)
    assert resolve_model("hf-hub:me/mine.v1@two").model.name == "mine.v1"


def test_a_url_of_a_checkpoint_is_a_model(hub: FileServer, file: Path) -> None:
    hub.files["/w/flowers.pth"] = Served(file.read_bytes())
    bundle = resolve_model(f"{hub.url}/w/flowers.pth")
    assert bundle.model.files == resolve_model(file).model.files


def test_without_a_network_one_sentence_says_what_to_do_and_the_cache_serves(
    hub: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XCEPTION_OFFLINE", "1")
    with pytest.raises(EnvironmentFault, match="unset it, or get the file by other means and pass its path"):
        resolve_model("xception41.tf_in1k")
    monkeypatch.delenv("XCEPTION_OFFLINE")
    bundle = resolve_model("xception41.tf_in1k")
    monkeypatch.setenv("XCEPTION_OFFLINE", "1")
    assert resolve_model("xception41.tf_in1k").model == bundle.model


def test_what_lies_here_goes_before_published_weights_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, conversions: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_keras(tmp_path / "keras_xception.imagenet", hollow("keras", "mini_xception"))
    assert resolve_model("keras_xception.imagenet").model.network.variant == "mini_xception"


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("keras_xception", "keras_xception.imagenet"),
        ("xception65p", "timm_xception65p.ra3_in1k"),
        ("xception65.ra3_in1k", "timm_xception65.ra3_in1k"),
        ("gluon_xception65", "gluon_xception65.gluon_in1k"),
    ],
)
def test_a_part_of_a_name_is_enough_where_only_one_has_it(name: str, full: str) -> None:
    place = look_up(name)
    assert place.entry is CATALOG[full]
    assert place.address == full


@pytest.mark.parametrize(
    ("name", "candidates"),
    [
        ("xception", ["keras_xception.imagenet", "timm_xception.tf_in1k", "mini_xception.fer2013"]),
        ("mindcv_xception", ["mindcv_xception.in1k_224", "mindcv_xception.in1k_299"]),
        ("xception71", ["ppcls_xception71.ppcls_in1k", "timm_xception71.tf_in1k"]),
    ],
)
def test_a_part_that_several_have_is_refused_with_all_of_them(name: str, candidates: list[str]) -> None:
    with pytest.raises(AmbiguousName) as caught:
        look_up(name)
    assert set(candidates) <= set(caught.value.candidates)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("keras_xception.imagnet", r"did you mean keras_xception\.imagenet\?"),
        ("timm/xception65.ra3_in1k", r"did you mean hf-hub:timm/xception65\.ra3_in1k\?"),
        ("nothing", "nothing does not exist; expected a bundle or a training run's folder, a checkpoint of any source"),
    ],
)
def test_a_name_of_nothing_is_refused_with_what_names_a_model(name: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        look_up(name)


def test_a_folder_that_is_neither_says_what_either_would_have(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is not a bundle, since it has no model\.json, and .*config\.json"):
        resolve_model(tmp_path)


@pytest.mark.parametrize("wrong", [3, None, b"model.h5", np.zeros(1), ""])
def test_what_is_no_name_is_refused(wrong: object) -> None:
    with pytest.raises(UsageError, match="a model is named by a path or a name; got"):
        resolve_model(wrong)


def test_a_file_that_leaves_something_open_leads_to_convert(tmp_path: Path) -> None:
    values = drawn("timm_xception41")
    two_heads = {name.replace("head.fc", "age"): value for name, value in values.items()}
    two_heads |= {name.replace("head.fc", "sex"): value for name, value in values.items() if name.startswith("head.")}
    file = write_safetensors(tmp_path / "w.safetensors", two_heads)
    with pytest.raises(InputError, match=r"pass --new-head K .*; these are options of xception convert .* --out DIR"):
        resolve_model(file)


def test_a_file_without_a_classifier_becomes_a_model_of_embeddings(tmp_path: Path) -> None:
    values = {name: value for name, value in drawn("timm_xception41").items() if not name.startswith("head.")}
    notes: list[str] = []
    bundle = resolve_model(write_safetensors(tmp_path / "w.safetensors", values), on_note=notes.append)
    assert (bundle.model.network.num_classes, bundle.labels.names) == (0, ())
    assert "read as timm_xception41 with embeddings of 256 features" in notes[0]


def test_a_bundle_in_an_object_storage_is_a_model_by_its_url_and_by_its_runs(
    weights_bundle: Bundle, s3_server: S3Server
) -> None:
    url = s3_server.bucket("models")
    for path in weights_bundle.path.iterdir():
        s3_server.client.put_object(Bucket="models", Key=f"run/bundle/{path.name}", Body=path.read_bytes())
    assert packages_to_get(f"{url}/run") == ("fsspec",)
    for place in (f"{url}/run/bundle", f"{url}/run", f"{url}/run/"):
        assert resolve_model(place).model == weights_bundle.model
    with pytest.raises(InputError, match="there is no bundle at s3://models/runs; expected"):
        resolve_model(f"{url}/runs")
