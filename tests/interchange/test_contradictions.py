from pathlib import Path

import msgspec
import pytest

from tests.interchange.test_vdsp import CAFFE, IMAGENET, SQUASHED
from xception.errors import InputError
from xception.interchange import aipp, vamc, vdsp
from xception.interchange.contradictions import contradictions, model_of, statements
from xception.preprocess import CenterCrop, Preprocess

README = """
    torchvision.transforms.Resize(342),
    torchvision.transforms.CenterCrop(299),
    torchvision.transforms.Normalize(mean=[0.5, 0.5, 0.5], std=[0.5, 0.5, 0.5],),
"""


def write_params(file: Path, preprocess: Preprocess) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    vdsp.write_params(file, vdsp.params_of(preprocess))


def write_build(file: Path, preprocess: Preprocess) -> None:
    build = vamc.VamcBuild(preprocess=preprocess, name="a", checkpoint="a", calibration="c", images=5)
    vamc.write_config(file, vamc.vamc_config(build))


@pytest.fixture
def zoo(tmp_path: Path) -> Path:
    """Files like those of a zoo: timm's agree with one another, Keras' do not."""
    for name in ("timm-xception", "timm-xception41"):
        write_params(tmp_path / "params" / f"{name}-vdsp_params.json", SQUASHED)
    write_build(tmp_path / "timm_xception.yaml", SQUASHED)
    write_params(tmp_path / "params" / "keras-xception-vdsp_params.json", IMAGENET)
    write_params(tmp_path / "params" / "keras-xception-vdsp_params_back.json", CAFFE)
    write_build(tmp_path / "keras_xception.yaml", CAFFE)
    (tmp_path / "other.json").write_text("[]")
    (tmp_path / "notes.md").write_text("nothing of it")
    (tmp_path / "picture.png").write_bytes(b"\xff")
    (tmp_path / "binary.py").write_bytes(b"\xff\xfe")
    return tmp_path


def test_two_normalisations_of_one_model_are_named_with_their_files(zoo: Path) -> None:
    (found,) = contradictions(statements(zoo))
    assert (found.model, found.what) == ("keras-xception", "normalisation")
    assert found.values == {
        "(value - (103.9, 116.8, 123.7)) / (1, 1, 1)": (
            "keras_xception.yaml",
            "params/keras-xception-vdsp_params_back.json",
        ),
        "(value - (123.7, 116.3, 103.5)) / (58.4, 57.12, 57.37)": ("params/keras-xception-vdsp_params.json",),
    }
    assert found.sentence().startswith("2 normalisations for keras-xception: (value - (103.9")


def test_a_page_that_names_no_model_speaks_of_all(zoo: Path) -> None:
    (zoo / "README.md").write_text(README)
    found = {(row.model, row.what): len(row.values) for row in contradictions(statements(zoo))}
    assert found == {
        ("keras-xception", "normalisation"): 3,
        ("keras-xception", "resize"): 2,
        ("timm-xception", "resize"): 2,
    }


def test_rounding_to_half_precision_is_no_contradiction(tmp_path: Path) -> None:
    write_params(tmp_path / "vdsp_params.json", IMAGENET)
    write_build(tmp_path / "build_int8.yaml", IMAGENET)
    (tmp_path / "aipp.cfg").write_text(aipp.config_text(IMAGENET))
    said = statements(tmp_path)
    assert len(said) == 3
    assert contradictions(said) == []
    shifted = msgspec.structs.replace(IMAGENET, mean=(0.486, 0.456, 0.406))
    (tmp_path / "aipp.cfg").write_text(aipp.config_text(shifted))
    (found,) = contradictions(statements(tmp_path))
    assert "aipp.cfg" in found.sentence()
    assert "one model" in found.sentence()


def test_another_crop_is_a_contradiction(tmp_path: Path) -> None:
    write_params(tmp_path / "vdsp_params.json", SQUASHED)
    crop = CenterCrop(width_px=288, height_px=288, offset="floor")
    write_build(tmp_path / "build_int8.yaml", msgspec.structs.replace(SQUASHED, crop=crop))
    (found,) = contradictions(statements(tmp_path))
    assert found.what == "crop"


def test_means_in_the_order_of_bgr_are_noted(zoo: Path) -> None:
    notes = {row.file: row.note for row in statements(zoo) if row.note}
    assert sorted(notes) == ["keras_xception.yaml", "params/keras-xception-vdsp_params_back.json"]
    assert "blue, green and red" in notes["keras_xception.yaml"]


def test_one_file_says_what_it_does(tmp_path: Path) -> None:
    write_params(tmp_path / "a-vdsp_params.json", SQUASHED)
    (said,) = statements(tmp_path / "a-vdsp_params.json")
    assert (said.model, said.resize, said.crop) == ("a", "squash to 324x324 px", "299x299 px")
    (tmp_path / "text.md").write_text("nothing")
    assert statements(tmp_path / "text.md") == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", '{"OpType": "x"}'),
        ("a.yaml", "dataset: {process_ops: []}"),
        ("a.yaml", "dataset: [process_ops"),
        ("a.cfg", "aipp_op { aipp_mode : static }"),
        ("a.cfg", "aipp_op { var_reci_chn_0 : 0 var_reci_chn_1 : 1 var_reci_chn_2 : x }"),
    ],
)
def test_a_file_of_a_vendors_form_that_is_incomplete_is_refused(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError):
        statements(tmp_path)


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("build/keras_xception.yaml", "keras-xception"),
        ("keras-xception-vdsp_params_back.json", "keras-xception"),
        ("ppcls-xception41_deeplab-vdsp_params.json", "ppcls-xception41-deeplab"),
        ("vdsp_params.json", ""),
        ("build_int8.yaml", ""),
        ("README.md", ""),
        ("img_preprocess.py", ""),
        ("aipp.cfg", ""),
        ("xception_pt_aipp.config", "xception-pt"),
    ],
)
def test_the_model_is_told_by_the_name(name: str, model: str) -> None:
    assert model_of(name) == model
