import importlib
import re
import sys
import tomllib
from pathlib import Path

import pytest

from tests.rules.source import FILES
from xception.cli.failures import ending_of
from xception.errors import CHECKOUT, MissingExtra
from xception.extras import EXTRAS, broken_package, is_installed, missing_extra, optional, require, require_all


def test_an_installed_package_is_imported() -> None:
    assert require("json.decoder", "x") is sys.modules["json.decoder"]


@pytest.mark.parametrize("module", ["not_installed_anywhere", "not_installed_anywhere.inside"])
def test_a_missing_package_is_announced_with_its_extra(module: str) -> None:
    with pytest.raises(MissingExtra, match=r"'not_installed_anywhere'.*pip install .*\[toys\]'") as caught:
        require(module, "toys")
    assert caught.value.extras == ("toys",)


def test_all_that_is_missing_is_announced_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("httpx", "torch"):
        monkeypatch.setitem(sys.modules, name, None)
    require_all("onnx", "yaml")
    with pytest.raises(MissingExtra, match=r"'httpx' and 'torch'.*\[hub,torch\]'"):
        require_all("torch", "onnx", "httpx")


def test_a_package_is_known_to_be_there_without_being_imported() -> None:
    assert is_installed("json")
    assert not is_installed("not_installed_anywhere")


def test_only_the_absence_of_an_optional_package_becomes_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    announced = missing_extra(ModuleNotFoundError("No module named 'torch'", name="torch.nn"))
    assert announced is not None
    assert announced.extras == ("torch",)
    # What is there and broken inside, and what is nobody's, are faults.
    assert missing_extra(ModuleNotFoundError("No module named 'onnx.inner'", name="onnx.inner")) is None
    assert missing_extra(ModuleNotFoundError("No module named 'xception.x'", name="xception.x")) is None


def installed_by(extra: str) -> set[str]:
    """The distributions that a group of optional dependencies installs, with those of the groups that it includes."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found: set[str] = set()
    for line in project["optional-dependencies"][extra]:
        name, _, groups = re.match(r"([\w.-]+)(\[([\w,]+)\])?", line).groups()
        found |= set().union(*map(installed_by, groups.split(","))) if name == "xception" else {name}
    return found


IMPORTED_AS = {
    "grpcio": "grpc",
    "mlflow-skinny": "mlflow",
    "protobuf": "google",
    "pyopenssl": "OpenSSL",
    "scikit-learn": "sklearn",
    "pyyaml": "yaml",
}
BROUGHT_ALONG = {"flatbuffers": "ai-edge-litert"}


def imported(extra: str) -> set[str]:
    names = {IMPORTED_AS.get(name, name.replace("-", "_")) for name in installed_by(extra)}
    return names | {name for name, by in BROUGHT_ALONG.items() if by in installed_by(extra)}


@pytest.mark.parametrize("package", EXTRAS)
def test_the_group_of_the_table_installs_the_package(package: str) -> None:
    assert package in imported(EXTRAS[package])


def test_another_group_would_be_noticed() -> None:
    assert "torch" not in imported("onnx")
    assert "torch" in imported("train")


def test_the_group_that_a_module_names_installs_what_it_needs() -> None:
    pairs = {
        (module.split(".")[0], extra)
        for path in FILES
        for module, extra in re.findall(r'\brequire\("([\w.]+)", "(\w+)"\)', path.read_text(encoding="utf-8"))
    }
    assert len(pairs) > 15
    assert {(module, extra) for module, extra in pairs if module not in imported(extra)} == set()
    assert {module for module, _ in pairs} <= EXTRAS.keys()


def test_a_broken_import_inside_a_package_is_not_taken_for_a_missing_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_inside.py").write_text("import not_installed_anywhere\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError):
        require("broken_inside", "toys")


@pytest.mark.parametrize(
    "fault", ["raise OSError('libtorch_cpu.so: cannot open shared object file')", "import not_installed_anywhere"]
)
def test_a_package_that_cannot_be_imported_is_named_with_what_installs_it(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torch.py").write_text(f"{fault}\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    with pytest.raises((OSError, ImportError)) as caught:
        importlib.import_module("torch")
    ending = ending_of(caught.value, ["predict"])
    assert ending.code == 3
    words = r"the Python package 'torch' is installed and cannot be imported: .*; install it again: .*pip install"
    assert re.match(words, ending.sentence)
    assert broken_package(FileNotFoundError("elsewhere")) is None


def test_what_only_makes_faster_is_imported_or_is_none() -> None:
    assert optional("json.decoder") is sys.modules["json.decoder"]
    assert optional("not_installed_anywhere") is None
