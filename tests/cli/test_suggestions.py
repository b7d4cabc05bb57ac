"""Commands as people type them: each is refused in one sentence that names what would work."""

import shlex
from pathlib import Path
from typing import get_args

import pytest

from tests.convert.checkpoints import drawn, write_torch
from tests.rules.test_options import all_options
from tests.support.reader import weights_of_digits
from tests.support.samples import picture, write_folder
from xception.backends.base import BACKENDS, BACKENDS_ELSEWHERE, InferPrecision
from xception.cli.app import COMMANDS, run
from xception.cli.suggestions import ON_ALL_VERBS, OPTIONS_ELSEWHERE, VALUES_ELSEWHERE, VERBS_ELSEWHERE
from xception.export.targets import ALSO_CALLED, BY_WAY_OF, EXPORT_TARGETS

WRONG = {
    # Misspelt verbs, and those of other tools.
    "predit bundle photo.jpg": "did you mean predict?",
    "evalute bundle digits": "did you mean evaluate?",
    "quantise bundle --calibration digits --out q": "did you mean quantize?",
    "Predict bundle photo.jpg": "did you mean predict?",
    "infer bundle photo.jpg": "did you mean predict?",
    "eval bundle digits": "did you mean evaluate?",
    "val bundle digits": "did you mean evaluate?",
    "test bundle digits": "did you mean evaluate?",
    "classify photo.jpg": "did you mean predict?",
    "finetune photos": "did you mean train?",
    "download xception65.ra3_in1k": "did you mean convert?",
    "deploy bundle": "did you mean serve? To see how it is called: xception serve -h",
    "run bundle photo.jpg": "did you mean predict?",
    "VAL bundle digits": "did you mean evaluate?",
    "PREDICT bundle photo.jpg": "did you mean predict?",
    "Data Check photos": "did you mean data check?",
    "--predict bundle": "did you mean predict?",
    "photo.jpg": "xception predict keras_xception.imagenet photo.jpg",
    "https://example.org/photo.jpg": "xception predict keras_xception.imagenet https://example.org/photo.jpg",
    "data-check photos": "did you mean data check?",
    "data clean photos": "did you mean data check?",
    "fix photos": "expected one of demo, list",
    # Options of other tools, and misspelt ones.
    "predict bundle photos --topk 3": "did you mean --top?",
    "predict bundle photos -k 3": "did you mean --top?",
    "predict bundle photos -top 3": "did you mean --top?",
    "predict bundle photos --gpu": "did you mean --device cuda?",
    "predict bundle photos --batch-size 8": "did you mean --batch?",
    "predict bundle photos --conf 0.5": "did you mean --threshold?",
    "predict bundle photos --output out.csv": "did you mean --out?",
    "predict bundle photos --format json": "did you mean --json?",
    "predict bundle photos --verbose": "did you mean --debug?",
    "predict --model bundle --source photos": "xception predict [MODEL] [SOURCES...]",
    "predict -m bundle -i photos": "MODEL stands without a name",
    "predict bundle -i photos": "SOURCES stands without a name",
    "predict --weights bundle photos": "MODEL stands without a name",
    "predict --hlp": "did you mean --help?",
    "predict --h": "did you mean --help?",
    "evaluate bundle --data digits": "xception evaluate [MODEL] [DATA]",
    "train photos --lr 0.1": "did you mean --set optim.lr=VALUE?",
    "train photos --learning_rate=0.1": "did you mean --set optim.lr=VALUE?",
    "train photos --momentum 0.8": "did you mean --set optim.momentum=VALUE?",
    "train photos --epochs 5": "did you mean --set epochs=VALUE?",
    "train photos --batch-size 8": "did you mean --set batch_size=VALUE?",
    "train photos --weights model.pth": "did you mean --from?",
    "export bundle --format onnx --out x": "did you mean --to?",
    "quantize bundle --calib digits --out x": "did you mean --calibration?",
    "benchmark bundle --iterations 5": "did you mean --repeats?",
    "serve bundle --host 0.0.0.0": "did you mean --address?",
    "convert model.pth --output x": "did you mean --out?",
    # Operands and values that are missing, too many or of another kind.
    "convert": "xception convert FILE --out OUT",
    "convert model.pth": "convert needs --out",
    "export bundle --to onnx": "export needs --out",
    "predict bundle photos --top": "--top of predict has no value",
    "export bundle onnx --out x": "xception export MODEL --to TO --out OUT",
    "predict photo.jpg bundle": "xception predict bundle photo.jpg",
    "predict bundle": "xception predict bundle photo.jpg",
    "predict model.pth": "xception predict model.pth photo.jpg",
    "evaluate digits bundle": "xception evaluate bundle digits",
    "evaluate photos bundle": "xception evaluate bundle photos",
    "predict photos bundle": "xception predict bundle photos",
    "data parity digits bundle": "xception data parity bundle digits",
    "benchmark photos bundle": "xception benchmark bundle photos",
    "train digits --set lr=0.1": "did you mean optim.lr",
    "evaluate bundle": "xception evaluate bundle DATA",
    "evaluate digits": "xception evaluate MODEL digits",
    "compare digits bundle bundle": "xception compare bundle bundle digits",
    "compare bundle digits": "xception compare bundle MODEL digits",
    # Something else in the place of a model, of data or of a recipe.
    "convert photos --out x": "photos is a folder of images, not a model; to train on it: xception train",
    "convert photo.jpg --out x": "photo.jpg is an image, not a model; to classify it: xception predict keras_xception",
    "export photo.jpg --to onnx --out x": "is an image, not a model",
    "quantize photos --calibration digits --out x": "is a folder of images, not a model",
    "serve photo.jpg": "is an image, not a model",
    "benchmark photo.jpg": "is an image, not a model",
    "info photos": "is a folder of images, not a model",
    "predict photos": "xception predict keras_xception.imagenet photos",
    "train bundle": "xception train photos/ --from bundle",
    "train photo.jpg": "photo.jpg is one image; expected a folder",
    "train --data photos": "as in xception train photos/",
    # Values of other tools.
    "predict bundle photo.jpg --precision fp16": "did you mean float16? Expected float32, tf32, bfloat16 or float16",
    "predict bundle photo.jpg --precision HALF": "did you mean float16?",
    "predict bundle photo.jpg --precision bfloat": "did you mean bfloat16?",
    "predict bundle photo.jpg --precision int8": "--precision is 'int8'; expected float32",
    "predict bundle photo.jpg --device gpu": "did you mean cuda? Expected auto",
    "predict bundle photo.jpg --device GPU": "did you mean cuda?",
    "predict bundle photo.jpg --device 1": "did you mean cuda:1?",
    "predict bundle photo.jpg --device mps": "Apple's GPUs are not used",
    "predict bundle photo.jpg --device tpu": "there is no device 'tpu'; expected auto",
    "predict bundle photo.jpg --backend ORT": "did you mean onnxruntime?",
    "predict bundle photo.jpg --top five": "--top is 'five'; expected a whole number",
    "predict bundle photo.jpg --threshold 50%": "--threshold is '50%'; expected a number",
    "export bundle --to ONNX --out x": "did you mean onnx?",
    "export bundle --to TensorRT --out x": "write onnx",
    "export bundle --to engine --out x": "write onnx",
    "export bundle --to mlpackage --out x": "write pt2",
    "info TIMM_Xception": "did you mean timm_xception?",
}

NOT_THERE = {
    "predict BUNDLE photo.jpg": "did you mean bundle? Expected a bundle",
    "predict model.pt photo.jpg": "did you mean model.pth?",
    "predict model=bundle photo.jpg": "did you mean bundle?",
    "predict Keras_Xception.ImageNet photo.jpg": "did you mean keras_xception.imagenet?",
    "predict bundle PHOTO.JPG": "did you mean photo.jpg?",
    "predict bundle 'photos\\ant\\0.png'": "did you mean photos/ant/0.png?",
    "predict bundle '~/photo.jpg'": "photo.jpg? Expected an image",
    "predict bundle '~/photos'": "photos? Expected an image",
    "predict bundle nowhere/photo.jpg": "nowhere/photo.jpg does not exist; expected an image",
    "predict bundle '*.jpg'": "the shell left its * as it is; name the folder",
    "predict '~/bundle' photo.jpg": "bundle? Expected a bundle",
    "evaluate bundle '~/photos'": "photos? Expected digits",
    "evaluate bundle Digits": "did you mean digits? Expected digits",
    "evaluate bundle photo.jpg": "photo.jpg is one image, and no data set; expected digits",
    "evaluate bundle model.pth": "model.pth is a file of a form that is not known, and no data set",
    "train '~/photos'": "photos? Expected a recipe",
    "train model.pth": "pass it by --from",
}
"""Commands that name what is not there, and what is said of them."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model as a bundle and as a checkpoint, and photos. Not to be written to."""
    folder = tmp_path_factory.mktemp("place")
    weights_of_digits(folder / "bundle")
    write_torch(folder / "model.pth", drawn("timm_xception", num_classes=10))
    write_folder(folder / "photos", 1)
    picture().save(folder / "photo.jpg")
    return folder


@pytest.mark.parametrize("line", WRONG)
def test_a_wrong_command_is_answered_with_what_would_work(
    line: str, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    before = sorted(place.iterdir())
    assert run(shlex.split(line)) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1, captured.err
    assert WRONG[line] in captured.err
    assert sorted(place.iterdir()) == before


@pytest.mark.parametrize("line", NOT_THERE)
def test_what_is_not_there_is_answered_with_what_may_have_been_meant(
    line: str, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    monkeypatch.setenv("HOME", str(place))
    monkeypatch.setenv("USERPROFILE", str(place))
    assert run(shlex.split(line)) == 3
    captured = capsys.readouterr()
    assert (captured.out, captured.err.count("\n")) == ("", 1), captured.err
    assert NOT_THERE[line] in captured.err


@pytest.mark.parametrize("line", ["-h", "data -h", "predict -h", "data check -h", "export bundle -h", "-h predict"])
def test_help_is_the_same_by_either_name(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = line.split()
    assert run(words) == 0
    short = capsys.readouterr().out
    others = [word for word in words if word != "-h"]
    assert run([*others, "--help"]) == 0
    assert short == capsys.readouterr().out
    assert "[ARGS" not in short


def test_every_verb_and_option_that_is_suggested_exists_and_no_real_one_is_taken_for_another() -> None:
    known = all_options()
    assert set(VERBS_ELSEWHERE.values()) <= set(COMMANDS)
    assert not set(VERBS_ELSEWHERE) & set(COMMANDS)
    suggested = {way.split()[0] for ways in OPTIONS_ELSEWHERE.values() for way in ways.split(" | ")}
    assert {name for name in suggested if f"--{name}" not in known} <= set(ON_ALL_VERBS)
    assert set(BACKENDS_ELSEWHERE.values()) <= set(BACKENDS)
    assert set(ALSO_CALLED.values()) <= {*EXPORT_TARGETS, *BY_WAY_OF}
    assert not set(ALSO_CALLED) & {*EXPORT_TARGETS, *BY_WAY_OF}
    assert set(VALUES_ELSEWHERE.values()) <= set(get_args(InferPrecision))


def test_a_file_of_answers_that_is_there_is_refused_before_the_model_is_loaded(
    place: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "labels.csv").touch()
    monkeypatch.setattr("xception.cli.predict.open_model", None)
    assert run(["predict", str(place / "bundle"), str(place / "photos"), "--out", str(tmp_path / "labels.csv")]) == 3
    assert "labels.csv is there already" in capsys.readouterr().err
