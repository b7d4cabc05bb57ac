import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from tests.export.requests import export_to
from tests.support.samples import drawn_tensors
from xception.bundle import Bundle, Model, Network, write_bundle
from xception.convert.conversion import convert_checkpoint
from xception.convert.naming.rename import rename_back
from xception.errors import CheckFailed, InputError, UnknownName, UsageError
from xception.export import timm
from xception.labels import Labels
from xception.preprocess import CenterCrop, Preprocess, ShorterSide
from xception.weights import read_weights, weights_bytes

LABEL_SETS = Labels(("cat", "dog"), ("n1", "n2"))
PREPROCESS = Preprocess(resize=ShorterSide(px=110), crop=CenterCrop(width_px=97, height_px=97))


def written(path: Path, network: Network, preprocess: Preprocess = PREPROCESS) -> Bundle:
    model = Model(name="pets", network=network, form="weights", precision="float32", preprocess=preprocess)
    files: Mapping[str, bytes | Path] = {"weights.safetensors": weights_bytes(drawn_tensors(network.architecture()))}
    return write_bundle(path, model, LABEL_SETS, files)


@pytest.fixture(scope="module")
def pets(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    network = Network(variant="timm_xception41p", num_classes=2, in_channels=3)
    return written(tmp_path_factory.mktemp("pets") / "bundle", network)


def test_a_folder_for_timm_comes_back_as_the_same_bundle(pets: Bundle, tmp_path: Path) -> None:
    assert export_to(pets, "timm", tmp_path / "out") == tmp_path / "out"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["config.json", "model.safetensors"]
    back = convert_checkpoint(tmp_path / "out")
    stored = msgspec.structs.replace(PREPROCESS, orientation="stored")  # which is all that timm knows
    assert (back.model.network, back.model.preprocess, back.labels) == (pets.model.network, stored, LABEL_SETS)
    tensors = read_weights(pets.main_file)
    assert all(np.array_equal(back.tensors[name], tensors[name]) for name in tensors)


def test_the_description_is_what_timm_reads(pets: Bundle, tmp_path: Path) -> None:
    export_to(pets, "timm", tmp_path / "out")
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert (config["architecture"], config["num_classes"]) == ("xception41p", 2)
    assert config["pretrained_cfg"]["input_size"] == [3, 97, 97]
    assert int(97 / config["pretrained_cfg"]["crop_pct"]) == 110


def test_the_oldest_network_goes_by_another_name(tmp_path: Path) -> None:
    bundle = written(tmp_path / "bundle", Network(variant="timm_xception", num_classes=2, in_channels=3))
    config = json.loads((export_to(bundle, "timm", tmp_path / "out") / "config.json").read_text())
    assert config["architecture"] == "legacy_xception"


@pytest.mark.parametrize(
    "network",
    [
        Network(variant="mini_xception", num_classes=2, in_channels=3),
        Network(variant="timm_xception41", num_classes=2, in_channels=3, width=0.1),
        Network(variant="timm_xception41", num_classes=2, in_channels=3, width=0.1, output_stride=16),
        Network(variant="timm_xception41", num_classes=2, in_channels=3, norm_epsilon=1e-5),
        Network(variant="timm_xception41", num_classes=2, in_channels=3, pooling="max"),
    ],
)
def test_a_network_that_timm_has_not_is_refused(network: Network, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"say nothing of what makes .* expected one of timm_xception, "):
        export_to(written(tmp_path / "bundle", network), "timm", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_graph_is_not_given_to_timm(onnx_bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="export from the bundle of weights"):
        export_to(onnx_bundle, "timm", tmp_path / "out")


def test_an_unknown_library_is_refused(pets: Bundle, tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="unknown export target 'tim'; did you mean timm"):
        export_to(pets, "tim", tmp_path / "out")


def test_only_an_earlier_export_is_replaced_and_only_if_asked(pets: Bundle, tmp_path: Path) -> None:
    out = export_to(pets, "timm", tmp_path / "out")
    with pytest.raises(InputError, match=r"already holds a folder for timm; choose another place or pass --overwrite"):
        export_to(pets, "timm", out)
    export_to(pets, "timm", out, overwrite=True)
    (out / "notes.txt").touch()
    with pytest.raises(InputError, match=r"holds config\.json, model\.safetensors, notes\.txt"):
        export_to(pets, "timm", out, overwrite=True)
    with pytest.raises(InputError, match="choose another place"):
        export_to(pets, "timm", out / "notes.txt")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_a_folder_that_reads_back_otherwise_is_not_written(
    pets: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def perturbed(*arguments: Any) -> dict[str, np.ndarray]:
        return {name: value + 1 for name, value in rename_back(*arguments).items()}

    monkeypatch.setattr(timm, "rename_back", perturbed)
    with pytest.raises(CheckFailed, match="does not read back"):
        export_to(pets, "timm", tmp_path / "out")
    assert not list(tmp_path.iterdir())
