"""What a bare install says: no verb and no public name ends in a traceback where optional packages are missing.

Everything is tried in processes that cannot import any package of `EXTRAS`.
"""

import json
from pathlib import Path

import pytest

from tests.convert.checkpoints import drawn, write_safetensors
from tests.rules.test_imports import python
from tests.support.samples import picture, write_folder
from xception import _HOMES
from xception.bundle import Bundle
from xception.cli.app import COMMANDS
from xception.extras import EXTRAS

BARE = """
import contextlib, importlib, io, json, sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in json.loads(sys.argv[1]):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
"""

RUN_ALL = """
from xception.cli.app import run
results = {}
for name, arguments in json.loads(sys.argv[2]).items():
    out, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        try:
            code = run(arguments)
        except BaseException as error:
            code = f"{type(error).__name__}: {error}"
    results[name] = [code, errors.getvalue()]
print(json.dumps(results))
"""

ASK_ALL = """
import xception
results = {}
for name in json.loads(sys.argv[2]):
    try:
        getattr(xception, name)
    except xception.XceptionError as error:
        results[name] = str(error)
    except BaseException as error:
        results[name] = f"{type(error).__name__}: {error}"
print(json.dumps(results))
"""

WITHOUT_EXTRAS = ("list", "info", "convert", "serve-key", "data inputs")
"""Verbs that work in a bare install."""

Results = dict[str, tuple[int | str, str]]


def run_bare(code: str, subject: object) -> dict[str, object]:
    result = python(BARE + code, json.dumps(list(EXTRAS)), json.dumps(subject))
    assert result.returncode == 0, result.stderr
    return dict(json.loads(result.stdout))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, forms: dict[str, Bundle]) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("bare")
    picture().save(folder / "photo.png")
    write_folder(folder / "photos", per_class=1)
    checkpoint = write_safetensors(folder / "model.safetensors", drawn("timm_xception41"))
    bundles = {form: str(bundle.path) for form, bundle in forms.items()}
    return {"file": str(checkpoint), "data": str(folder / "photos"), "photo": str(folder / "photo.png"), **bundles}


def every_verb(files: dict[str, str], out: Path) -> dict[str, list[str]]:
    """A sensible command of each verb, and of those that run a model one for each form."""
    new, data, weights, onnx = str(out), files["data"], files["weights"], files["onnx"]
    commands = {
        "list": ["list"],
        "info": ["info", files["file"]],
        "convert": ["convert", files["file"], "--out", f"{new}/bundle"],
        "adopt": ["adopt", f"{onnx}/model.onnx", "--preprocess", onnx, "--out", f"{new}/adopted"],
        "train": ["train", "digits", "--out", new],
        "evaluate": ["evaluate", weights, data],
        "compare": ["compare", weights, onnx, data],
        "predict": ["predict", weights, files["photo"]],
        "export": ["export", weights, "--to", "onnx", "--out", new],
        "quantize": ["quantize", onnx, "--calibration", data, "--out", new],
        "benchmark": ["benchmark", weights],
        "data prepare": ["data", "prepare", "digits", "--sample", "9", "--out", new],
        "data check": ["data", "check", data],
        "data inputs": ["data", "inputs", weights, data, "--vendor", "vastai", "--out", f"{new}/inputs"],
        "data parity": ["data", "parity", weights, data],
        "serve": ["serve", onnx],
        "serve-key": ["serve-key", "a"],
        "oip-check": ["oip-check", "http://127.0.0.1:9", "--model", "a"],
        "prove": ["prove", onnx, "--as", weights],
        "sign": ["sign", onnx, "--private-key", "private.pem"],
        "verify": ["verify", onnx, "--public-key", "public.pem"],
        "demo": ["demo", "--out", new],
        "predict a URL": ["predict", files["file"], "https://127.0.0.1:9/photo.jpg"],
        "info a graph": ["info", f"{onnx}/model.onnx"],
        "train from a model": ["train", "finetune", "--from", files["file"], "--data", data, "--out", new],
        "evaluate with a page": ["evaluate", weights, "digits", "--html", f"{new}/page.html"],
    }
    forms = {f"predict {form}": ["predict", files[form], files["photo"]] for form in ("onnx", "openvino", "litert")}
    checkpoint = {"predict a checkpoint": ["predict", files["file"], files["photo"]]}
    hub = {f"{verb} of a hub": [verb, "hf-hub:a/b", *more] for verb, more in AFTER_THE_MODEL.items()}
    targets = ("openvino", "litert", "pt2", "torchscript", "triton", "ascend", "vastai")
    exports = {f"export {to}": ["export", weights, "--to", to, "--out", f"{new}/{to}"] for to in targets}
    exports["export kserve"] = ["export", onnx, "--to", "kserve", "--out", f"{new}/kserve", "--storage-uri", "s3://a/b"]
    return commands | forms | checkpoint | hub | exports


AFTER_THE_MODEL = {
    "predict": ["photo.jpg"],
    "evaluate": ["digits"],
    "benchmark": [],
    "export": ["--to", "onnx", "--out", "new"],
    "quantize": ["--calibration", "digits", "--out", "new"],
    "info": [],
    "convert": ["--out", "new"],
}


@pytest.fixture(scope="module")
def results(files: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Results:
    place = tmp_path_factory.mktemp("new")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(place / "cache"))
        patch.delenv("HF_ENDPOINT", raising=False)
        return run_bare(RUN_ALL, every_verb(files, place / "new"))  # type: ignore[return-value]


def test_every_verb_is_tried(files: dict[str, str], tmp_path: Path) -> None:
    assert set(COMMANDS) <= every_verb(files, tmp_path).keys()


def test_no_verb_traces_in_a_bare_install(results: Results) -> None:
    faults = {
        name: (code, said)
        for name, (code, said) in results.items()
        if code not in (0, 3) or (code == 3 and (len(said.splitlines()) != 1 or "pip install" not in said))
    }
    assert {name for name in faults if "does not answer" not in results[name][1]} == set()


def test_what_needs_no_optional_package_works(results: Results) -> None:
    assert {name: results[name] for name in WITHOUT_EXTRAS if results[name][0] != 0} == {}
    assert {name for name, (code, _) in results.items() if code == 0} == {*WITHOUT_EXTRAS, "info a graph"}


@pytest.mark.parametrize(
    ("command", "groups"),
    [
        ("predict", "torch"),
        ("predict a checkpoint", "torch"),
        ("predict of a hub", "hub,torch"),
        ("predict a URL", "cloud,torch"),
        ("predict onnx", "onnx"),
        ("evaluate of a hub", "hub,torch,train"),
        ("evaluate with a page", "report,torch,train"),
        ("compare", "onnx,torch"),
        ("export of a hub", "hub,onnx,torch"),
        ("quantize of a hub", "hub,onnx,torch,train"),
        ("serve", "onnx,serve"),
        ("train", "torch,train"),
        ("train from a model", "torch,train"),
        ("info of a hub", "hub"),
        ("convert of a hub", "hub"),
        ("export vastai", "onnx,torch,vendors"),
        ("demo", "onnx,openvino,report,torch,train"),
    ],
)
def test_one_command_installs_all_that_a_request_lacks(command: str, groups: str, results: Results) -> None:
    assert f"[{groups}]'" in results[command][1]


def test_a_traceback_would_be_noticed(files: dict[str, str]) -> None:
    broken = "import xception.cli.list\nxception.cli.list.print_rows = None\n"
    results = run_bare(broken + RUN_ALL, {"list": ["list"]})
    assert results["list"][0] == 4


def test_no_public_name_traces_in_a_bare_install() -> None:
    results = run_bare(ASK_ALL, list(_HOMES))
    assert {"build", "train_network"} <= results.keys()
    assert {name: said for name, said in results.items() if "pip install" not in str(said)} == {}
