import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from tests.interchange.readers import read_class_info, read_class_names, read_vastai_input
from tests.support.samples import CLASSES
from xception.export.packs import verify
from xception.interchange import vamc, vastai, vdsp


def test_the_graph_behind_the_chips_preprocessing_gives_the_goldens(
    packs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pack = packs["vastai"]
    chip = vdsp.vdsp_preprocess(vdsp.read_params(pack / "vdsp_params.json"))
    session = onnxruntime.InferenceSession(pack / "onnx" / "small_bs1.onnx")
    for index, path in enumerate(vastai.read_datalist(pack / "datalist.txt")):
        image = Image.fromarray(read_vastai_input(pack / path).transpose(1, 2, 0))
        (logits,) = session.run(["output"], {"input": chip(image)[None]})
        np.savez(tmp_path / f"output_{index:06d}.npz", output_0=logits)
    verify.check_results(pack, verify.check_pack(pack), tmp_path, 1.0)
    assert "100.00% of 14 inputs" in capsys.readouterr().out


def test_a_preprocessing_that_the_chip_cannot_do_is_told_with_its_cost(packs: dict[str, Path]) -> None:
    pack = packs["vastai"]
    manifest = json.loads((pack / "pack.json").read_bytes())
    assert len(manifest["departures"]) == 2
    assert "squashed to 36x36 px" in manifest["departures"][0]
    cost = manifest["cost"]
    assert (cost["data"], cost["images"], cost["logits"]["samples"]) == ("photos", 14, 14)
    assert cost["own_top1"] == manifest["expected"]["photos"]["top1"]
    own = np.load(pack / "goldens" / "logits_own_preprocess.npy")
    chip = np.load(pack / "goldens" / "logits.npy")
    assert cost["logits"]["max_abs_diff"] == pytest.approx(np.abs(own - chip).max())
    assert cost["logits"]["max_abs_diff"] > 0
    text = (pack / "README.md").read_text()
    assert "cannot prepare images as the model expects them" in text
    assert "Measured on 14 images of photos" in text


def test_the_compilers_files_name_what_is_in_the_pack(packs: dict[str, Path]) -> None:
    pack = packs["vastai"]
    for dtype in ("int8", "fp16"):
        config = vamc.read_config(pack / f"build_{dtype}.yaml")
        assert config["backend"]["dtype"] == dtype
        assert config["frontend"]["shape"] == {"input": [1, 3, 32, 32]}
        assert (pack / config["frontend"]["checkpoint"]).is_file()
        sampler = config["dataset"]["sampler"]
        files = list((pack / config["dataset"]["path"]).rglob(f"*.{sampler['suffix']}"))
        assert len(files) == sampler["get_data_num"] == 21
        info = json.loads((pack / f"model_info_{dtype}.json").read_bytes())
        assert info["model_lib_path"] == f"./deploy_weights/small_{dtype}/mod.so"
        assert info["output_layout"]["shape"] == [1, len(CLASSES)]


def test_the_calibration_images_are_balanced_over_the_classes(packs: dict[str, Path]) -> None:
    folders = sorted((packs["vastai"] / "calibration").iterdir())
    assert [folder.name for folder in folders] == sorted(CLASSES)
    assert {len(list(folder.iterdir())) for folder in folders} == {3}


def test_labels_and_classes_of_the_inputs_are_those_of_the_scorer(packs: dict[str, Path]) -> None:
    pack = packs["vastai"]
    assert read_class_names(pack / "labels" / "imagenet.txt") == CLASSES
    assert read_class_info(pack / "labels" / "imagenet_info.py").ids == CLASSES
    assert {Path(path).parent.name for path in vastai.read_datalist(pack / "datalist.txt")} == set(CLASSES)
