"""Checkpoints become bundles only if every tensor has its place, or the user said what to do with the rest."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from parity.ours import seeded_tensors
from tests.convert.checkpoints import (
    PUBLISHED,
    drawn,
    hollow,
    prefixed,
    small,
    write_keras,
    write_safetensors,
    write_torch,
)
from xception.arch.compute import tensors as tensors_of
from xception.arch.variants import VARIANTS
from xception.bundle import open_bundle
from xception.convert import diagnosis
from xception.convert.catalog import CATALOG
from xception.convert.conversion import convert_checkpoint
from xception.convert.naming.rename import rename_back
from xception.convert.naming.schemes import NAMING_SCHEMES
from xception.convert.selection import WeightsChoice
from xception.errors import UsageError
from xception.labels import Labels, imagenet1k
from xception.preprocess import ShorterSide, Squash
from xception.weights import read_weights


def slim(tensors: dict[str, np.ndarray], classes: int) -> dict[str, np.ndarray]:
    """Canonical tensors of timm_xception41 under TF-slim's names, with more classes in front."""
    spec = small("timm_xception41", num_classes=1000)
    back = rename_back(tensors, spec, NAMING_SCHEMES["tfslim"])
    return {
        name: np.concatenate([value[..., : classes - 1000] + 9, value], -1) if "/logits/" in name else value
        for name, value in back.items()
    }


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_checkpoint_becomes_a_bundle_with_the_same_tensors(variant: str, tmp_path: Path) -> None:
    # The narrow networks of the mini family are those of one another.
    width = 1.0 if VARIANTS[variant].source == "mini" else 0.25
    file = write_safetensors(tmp_path / "model.safetensors", drawn(variant, width=width))
    bundle = convert_checkpoint(file).write(tmp_path / "out")
    assert open_bundle(tmp_path / "out", verify=True) == bundle
    spec = small(variant, width=width)
    assert bundle.model.network.architecture() == spec
    expected, found = seeded_tensors(spec), read_weights(bundle.main_file)
    assert expected.keys() == found.keys()
    assert all(np.array_equal(expected[name], found[name]) for name in expected)


def test_the_lineage_tells_file_container_source_and_group(tmp_path: Path) -> None:
    file = write_torch(tmp_path / "best.pth.tar", prefixed(drawn("timm_xception41"), "module."))
    model = convert_checkpoint(file).model
    (step,) = model.lineage
    assert (model.name, step.verb, step.parent, set(step.tools)) == ("best.pth", "convert", None, {"xception"})
    assert step.settings == {
        "container": "torch_zip",
        "source": "timm",
        "group": "state_dict/module",
        "file": "best.pth.tar",
        "sha256": step.settings["sha256"],
    }
    assert len(str(step.settings["sha256"])) == 64


@pytest.mark.parametrize(
    "variant", ["timm_xception", "timm_xception41p", "keras_xception", "ppcls_xception41_deeplab", "mini_xception"]
)
def test_a_file_without_a_classifier_gives_embeddings_and_says_how_it_pools(variant: str, tmp_path: Path) -> None:
    width = 1.0 if VARIANTS[variant].source == "mini" else 0.25
    spec = small(variant, width=width)
    source = next(source for source, published in PUBLISHED if published == variant)
    names = NAMING_SCHEMES[source].tensor_names(spec)
    head = {there.name for name, there in names.items() if name.startswith("head.classifier")}
    values = {name: value for name, value in drawn(variant, width=width).items() if name not in head}
    file = write_safetensors(tmp_path / "features.safetensors", values)
    made = convert_checkpoint(file, WeightsChoice(variant=variant))
    network = made.model.network
    assert (network.num_classes, made.model.activation, made.labels.names) == (0, "none", ())
    assert made.model.lineage[0].settings["pooling"] == "the average, since the file states none"
    bundle = made.write(tmp_path / "out")
    assert open_bundle(bundle.path, verify=True) == bundle
    expected, found = seeded_tensors(spec), read_weights(bundle.main_file)
    assert found.keys() == {name for name in expected if not name.startswith("head.classifier")}
    assert all(np.array_equal(expected[name], found[name]) for name in found)


def test_the_classifier_of_a_file_can_be_left_out(tmp_path: Path) -> None:
    file = write_safetensors(tmp_path / "file", drawn("timm_xception"))
    made = convert_checkpoint(file, WeightsChoice(new_head=0))
    assert (made.model.network.num_classes, made.model.lineage[0].settings["new_head"]) == (0, 0)
    assert made.tensors.keys() == tensors_of(made.model.network.architecture()).keys()
    with pytest.raises(UsageError, match="embeddings are no probabilities; leave --activation softmax out"):
        convert_checkpoint(file, WeightsChoice(new_head=0, activation="softmax"))


def test_a_whole_set_of_weights_goes_before_one_without_a_classifier(tmp_path: Path) -> None:
    values = drawn("timm_xception")
    teacher = {name: value for name, value in values.items() if not name.startswith("fc.")}
    both = prefixed(teacher, "teacher.") | prefixed(values, "student.")
    made = convert_checkpoint(write_safetensors(tmp_path / "file", both))
    assert (made.match.group.name, made.model.network.num_classes) == ("student", 11)


def test_a_new_classifier_is_added_where_there_is_none(tmp_path: Path) -> None:
    values = {name: value for name, value in drawn("keras_xception").items() if "predictions" not in name}
    file = write_keras(tmp_path / "notop.h5", values)
    converted = convert_checkpoint(file, WeightsChoice(new_head=5))
    assert converted.model.network.num_classes == len(converted.labels) == 5
    assert converted.tensors["head.classifier.weight"].shape == (5, 256)
    assert not converted.tensors["head.classifier.weight"].any()
    assert converted.model.lineage[0].settings["new_head"] == 5


@pytest.mark.parametrize("variant", ["timm_xception", "tiny_xception"])
def test_a_new_classifier_takes_the_place_of_the_files(variant: str, tmp_path: Path) -> None:
    file = write_safetensors(tmp_path / "file", drawn(variant, width=0.25 if variant == "timm_xception" else 1.0))
    old, new = convert_checkpoint(file), convert_checkpoint(file, WeightsChoice(new_head=3))
    assert new.model.network.num_classes == 3
    for name in old.tensors.keys() - {"head.classifier.weight", "head.classifier.bias"}:
        np.testing.assert_array_equal(new.tensors[name], old.tensors[name])


def test_weights_that_were_ported_can_be_given_back_to_their_network(tmp_path: Path) -> None:
    file = write_safetensors(tmp_path / "file", drawn("timm_xception"))
    as_timm, as_keras = convert_checkpoint(file), convert_checkpoint(file, WeightsChoice(variant="keras_xception"))
    assert (as_timm.model.network.variant, as_keras.model.network.variant) == ("timm_xception", "keras_xception")
    assert as_keras.model.lineage[0].settings["names_of"] == "timm_xception"
    assert all(np.array_equal(value, as_keras.tensors[name]) for name, value in as_timm.tensors.items())


def test_a_background_class_is_dropped_and_the_lineage_says_so(tmp_path: Path) -> None:
    spec = small("timm_xception41", num_classes=1000)
    tensors = seeded_tensors(spec)
    converted = convert_checkpoint(write_safetensors(tmp_path / "file", slim(tensors, 1001)))
    assert converted.model.network.num_classes == 1000
    np.testing.assert_array_equal(converted.tensors["head.classifier.bias"], tensors["head.classifier.bias"])
    assert converted.model.lineage[0].settings["dropped_class"] == "background, in front of the others"


def test_half_precision_is_widened(tmp_path: Path) -> None:
    halves = {name: value.astype(np.float16) for name, value in drawn("timm_xception").items()}
    converted = convert_checkpoint(write_safetensors(tmp_path / "file", halves))
    assert {value.dtype for value in converted.tensors.values()} == {np.dtype(np.float32)}


def test_a_model_folder_brings_its_preprocessing_and_its_labels(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "model.safetensors", drawn("timm_xception41", num_classes=2))
    cfg = {
        "input_size": [3, 299, 299],
        "crop_pct": 0.94,
        "interpolation": "bicubic",
        "mean": [0.5] * 3,
        "std": [0.5] * 3,
    }
    config = {"architecture": "xception41", "label_names": ["cat", "dog"], "pretrained_cfg": cfg}
    (tmp_path / "config.json").write_text(json.dumps(config))
    converted = convert_checkpoint(tmp_path)
    assert converted.labels == Labels(("cat", "dog"))
    assert converted.model.preprocess.resize == ShorterSide(px=318)
    assert converted.model.lineage[0].settings["container"] == "model_folder"


def test_the_input_size_of_a_keras_model_is_kept(tmp_path: Path) -> None:
    layers = [{"class_name": "InputLayer", "config": {"batch_input_shape": [None, 48, 56, 1]}}]
    file = write_keras(
        tmp_path / "model.h5", drawn("mini_xception", width=1.0), json.dumps({"config": {"layers": layers}})
    )
    assert convert_checkpoint(file).model.preprocess.output_px == (48, 56)


def test_gray_networks_take_gray_images(tmp_path: Path) -> None:
    file = write_keras(
        tmp_path / "model.h5", drawn("mini_xception", width=1.0), json.dumps({"config": {"layers": "?"}})
    )
    preprocess = convert_checkpoint(file).model.preprocess
    assert (preprocess.color, preprocess.resize) == ("gray", Squash(width_px=64, height_px=64))
    # The sources' own arithmetic on 8-bit values: /255, -0.5, *2.
    pixels = np.array([[[0, 51, 255]]], np.uint8)
    np.testing.assert_allclose(preprocess.normalize(pixels)[0, 0], (np.array([0, 51, 255]) / 255 - 0.5) * 2, atol=1e-7)


def test_arguments_go_before_everything_else(tmp_path: Path) -> None:
    file = write_safetensors(tmp_path / "file", drawn("timm_xception65", num_classes=2))
    entry = CATALOG["timm_xception65.tf_in1k"]
    assert (
        convert_checkpoint(file).model.preprocess == CATALOG["timm_xception65.ra3_in1k"].preprocess != entry.preprocess
    )
    converted = convert_checkpoint(file, entry=entry, labels=Labels(("a", "b")))
    assert (converted.model.preprocess, converted.labels) == (entry.preprocess, Labels(("a", "b")))
    assert converted.model.lineage[0].settings["preprocess_of"] == entry.name


def test_ported_weights_bring_their_preprocessing_to_their_network(tmp_path: Path) -> None:
    file = write_safetensors(tmp_path / "file", drawn("timm_xception"))
    network = convert_checkpoint(file, entry=CATALOG["keras_xception.imagenet"]).model.network
    assert network.variant == "keras_xception"


def test_a_published_file_is_known_by_its_checksum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write_keras(tmp_path / "renamed", drawn("mini_xception", width=1.0, num_classes=2))
    genders = CATALOG["mini_xception.imdb_gender"]
    assert convert_checkpoint(file).labels.names == ("class 0", "class 1")
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    monkeypatch.setattr(diagnosis, "identify", lambda found: genders if found["sha256"] == sha256 else None)
    converted = convert_checkpoint(file)
    assert converted.labels == genders.labels
    assert converted.model.lineage[0].settings["preprocess_of"] == genders.name
    # A new classifier no longer has the classes of the published one.
    assert convert_checkpoint(file, WeightsChoice(new_head=3)).labels.names == ("class 0", "class 1", "class 2")


def test_a_thousand_classes_are_imagenet_s(tmp_path: Path) -> None:
    file = write_safetensors(tmp_path / "file", hollow("timm", "timm_xception", width=0.125))
    assert convert_checkpoint(file).labels == imagenet1k()


def test_preprocessing_of_other_channels_is_refused(tmp_path: Path) -> None:
    file = write_safetensors(tmp_path / "file", drawn("timm_xception", in_channels=1))
    with pytest.raises(UsageError, match="makes 3 channels and the network takes 1"):
        convert_checkpoint(file, entry=CATALOG["timm_xception.tf_in1k"])
