"""The commands that commands propose: each is run as it is printed, on data that fit the model."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.adoption.graphs import PX, TF2ONNX, Style, write_onnx
from tests.convert.checkpoints import drawn, write_keras
from tests.support.samples import CLASSES, HANG_S, picture, write_folder
from xception.bundle import Bundle
from xception.cli.app import run
from xception.data.decode import loaded_image
from xception.data.digits import digits

EXPORTS = {
    "half precision": "--to onnx --precision float16",
    "an old opset": "--to onnx --opset 11",
    "a fixed batch": "--to onnx --fixed-batch 4",
    "plain": "--to onnx",
    "a free size": "--to onnx --free-size",
    "images in": "--to onnx --image-input",
    "ranks out": "--to onnx --probabilities --top-k 2",
    "class maps": "--to onnx --class-maps",
    "openvino": "--to openvino",
    "litert": "--to litert --image-input",
}
QUICK = ("half precision", "an old opset", "a fixed batch")


def proposed(text: str) -> list[str]:
    """The command behind `next:`, without the program's name."""
    (line,) = [line for line in text.splitlines() if line.startswith("next: ")]
    program, *command = shlex.split(line.removeprefix("next: "))
    assert program == "xception"
    return ["digits" if word == "DATA" else word for word in command]


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in QUICK else pytest.mark.slow) for n in EXPORTS])
def test_what_an_export_proposes_works(
    name: str, reader_weights: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [*EXPORTS[name].split(), "--out", str(tmp_path / "out")]
    assert run(["export", str(reader_weights.path), *options]) == 0
    command = proposed(capsys.readouterr().err)
    is_parent_of_int8 = "--to onnx" in EXPORTS[name] and name not in ("half precision", "an old opset")
    assert command[0] == ("quantize" if is_parent_of_int8 else "evaluate")
    assert run(command) == 0, capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("form", ["weights", "int8"])
def test_what_a_pack_proposes_works(
    form: str, reader_weights: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, out = str(reader_weights.path), tmp_path / "my pack"
    if form == "int8":
        made = ["--calibration", "digits", "--method", "max", "--tolerance", "0.05", "--out", str(tmp_path / "int8")]
        assert run(["quantize", model, *made]) == 0
        model = str(tmp_path / "int8")
    capsys.readouterr()
    assert run(["export", model, "--to", "ascend", "--out", str(out)]) == 0
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("next: ")]
    check, _, read = line.removeprefix("next: ").partition(", then ")
    python, *arguments = shlex.split(check)
    assert python == "python3"
    subprocess.run([sys.executable, *arguments], check=True, timeout=HANG_S)
    assert Path(shlex.split(read)[0]).is_file()


@pytest.mark.slow
def test_what_quantize_proposes_works(
    reader_weights: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "int8")
    assert run(["quantize", str(reader_weights.path), "--calibration", "digits", "--out", out]) == 0
    command = proposed(capsys.readouterr().err)
    assert command[0] == "benchmark"
    assert run(command) in (0, 1), capsys.readouterr().err


def ways(text: str, **places: Path) -> list[list[str]]:
    """The commands behind `next:`, of which there may be several, with words such as DATA replaced by places."""
    lines = [line for line in text.splitlines() if line.startswith(("next: ", "  or: "))]
    commands = [shlex.split(line.partition(": ")[2]) for line in lines]
    assert all(command[0] == "xception" for command in commands)
    names = {name.replace("__", "."): str(place) for name, place in places.items()}
    return [[names.get(word, word) for word in command[1:]] for command in commands]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A place whose name a shell would take apart, with photos of known classes."""
    place = tmp_path / "my {1..2} photos"
    write_folder(place / "data", 3)
    picture().save(place / "photo.png")
    return place


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["convert", "adopt"])
def test_what_is_proposed_for_a_new_bundle_works(verb: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels, out = folder / "labels.txt", folder / "out"
    names = (*CLASSES, "h", "i", "j", "k") if verb == "convert" else CLASSES
    labels.write_text("".join(f"{name}\n" for name in names))
    if verb == "convert":
        given = [write_keras(folder / "faces.h5", drawn("mini_xception", width=0.5))]
    else:
        style = Style(**{**vars(TF2ONNX), "classes": len(CLASSES)})
        given = [write_onnx(folder / "keras.onnx", style), "--preprocess", f"squash={PX}", "range=0..255"]
    assert run([verb, *map(str, given), "--labels", str(labels), "--out", str(out)]) == 0
    commands = ways(capsys.readouterr().err, photo__jpg=folder / "photo.png", DATA=folder / "data")
    assert [command[0] for command in commands] == ["predict", "evaluate"]
    for command in commands:
        assert run(command) == 0, capsys.readouterr().err
    _, *after_evaluate = ways(capsys.readouterr().err, photo__jpg=folder / "photo.png")
    assert [command[0] for command in after_evaluate] == ["predict", "benchmark"]
    for command in after_evaluate:
        assert run(command) == 0, capsys.readouterr().err


@pytest.mark.slow
def test_what_compare_proposes_works(
    forms: dict[str, Bundle], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = str(folder / "data")
    assert run(["compare", str(forms["weights"].path), str(forms["onnx"].path), data]) == 0
    (following,) = ways(capsys.readouterr().err)
    assert following[0] == "benchmark"
    assert run(following) == 0, capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(("recipe", "verb"), [("digits", "evaluate"), ("qat", "quantize")])
def test_what_training_proposes_works(
    recipe: str, verb: str, reader_weights: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = ["epochs=1", "batch_size=256", *(["optim.lr=1e-6", "augment.flip=false"] if recipe == "qat" else [])]
    start = ["--from", str(reader_weights.path), "--data", "digits"] if recipe == "qat" else []
    settings = [word for change in changes for word in ("--set", change)]
    assert run(["train", recipe, *start, *settings, "--out", str(tmp_path / "my run")]) == 0
    (command,) = ways(capsys.readouterr().err)
    assert command[0] == verb
    assert run([*command, *(["--tolerance", "0.05"] if verb == "quantize" else [])]) == 0, capsys.readouterr().err


@pytest.mark.parametrize("options", [[], ["--top", "2", "--batch", "4"]])
def test_what_predict_proposes_writes_the_same_answers_to_a_file(
    options: list[str],
    reader_weights: Bundle,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folder)
    model = str(reader_weights.path)
    for images, place in ((["photo.png"], "photos"), (["data"], "data"), (["photo.png", "data"], "photos")):
        assert run(["predict", model, *images, *options]) == 0
        (command,) = ways(capsys.readouterr().err)
        assert command == ["predict", model, place, *options, "--out", "labels.csv"]
    command[2] = "data"
    assert run(command) == 0
    assert len((folder / "labels.csv").read_text().splitlines()) == 1 + 3 * len(CLASSES)
    capsys.readouterr()
    assert run(["predict", model, "photo.png", "--csv"]) == 0
    assert capsys.readouterr().err == ""


def test_what_a_check_of_data_proposes_fits_the_part_that_was_checked(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = str(folder / "data")
    for place, command in (
        (data, ["train", data]),
        (f"{data}:validation", ["evaluate", "MODEL", f"{data}:validation"]),
    ):
        assert run(["data", "check", place]) == 0
        assert ways(capsys.readouterr().err) == [command]


@pytest.mark.parametrize("form", ["weights", "onnx"])
def test_what_a_comparison_of_preprocessings_proposes_works(
    form: str,
    forms: dict[str, Bundle],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folder)
    model = str(forms[form].path)
    for options, verb in ([], "evaluate"), (["--unlabelled"], "predict"):
        named = ["--preprocess", "bicubic,no_norm"]
        assert run(["data", "parity", model, "data", *named, *options]) == 0
        commands = ways(capsys.readouterr().err)
        assert commands[0] == [verb, model, "data", "--preprocess", "no_norm"]
        assert [command[0] for command in commands[1:]] == ["export"] * (form == "weights")
        for command in commands if verb == "evaluate" else commands[:1]:
            assert run(command) == 0, capsys.readouterr().err
        capsys.readouterr()


@pytest.mark.slow
def test_what_prepared_data_propose_works(
    reader_weights: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    items = digits("train").items[:60]
    for number, item in enumerate(items):
        place = tmp_path / "all" / f"{item.target}"
        place.mkdir(parents=True, exist_ok=True)
        loaded_image(item.load()).save(place / f"{number}.png")
    assert run(["data", "prepare", str(tmp_path / "all"), "--sample", "40", "--out", str(tmp_path / "drawn")]) == 0
    (command,) = ways(capsys.readouterr().err, BUNDLE=reader_weights.path)
    assert command[0] == "quantize"
    command[command.index("BUNDLE-int8")] = str(tmp_path / "int8")
    judged = ["--validation", "digits:validation", "--tolerance", "0.05"]
    assert run([*command, *judged]) == 0, capsys.readouterr().err
