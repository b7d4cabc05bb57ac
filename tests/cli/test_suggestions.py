"""Commands as people type them: each is refused in one sentence that names what would work."""

import shlex
from pathlib import Path

import pytest

from tests.convert.checkpoints import drawn, write_torch
from tests.rules.test_options import all_options
from tests.support.reader import weights_of_digits
from tests.support.samples import picture, write_folder
from xception.cli.app import COMMANDS, run
from xception.cli.suggestions import ON_ALL_VERBS, OPTIONS_ELSEWHERE, VERBS_ELSEWHERE

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
    "deploy bundle": "did you mean serve?",
    "data-check photos": "did you mean data check?",
    "data clean photos": "expected one of",
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
}


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


def test_every_verb_and_option_that_is_suggested_exists_and_no_real_one_is_taken_for_another() -> None:
    known = all_options()
    assert set(VERBS_ELSEWHERE.values()) <= set(COMMANDS)
    assert not set(VERBS_ELSEWHERE) & set(COMMANDS)
    suggested = {way.split()[0] for ways in OPTIONS_ELSEWHERE.values() for way in ways.split(" | ")}
    assert {name for name in suggested if f"--{name}" not in known} <= set(ON_ALL_VERBS)
