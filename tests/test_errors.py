import inspect
from importlib import metadata
from pathlib import Path

import pytest

from xception import errors
from xception.errors import (
    AmbiguousName,
    CheckFailed,
    MissingExtra,
    UnknownName,
    UsageError,
    XceptionError,
    install_command,
)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("XceptionError", 3),
        ("UsageError", 2),
        ("UnknownName", 2),
        ("AmbiguousName", 2),
        ("CheckFailed", 1),
        ("InputError", 3),
        ("DecodeError", 3),
        ("TooManyPixels", 3),
        ("UnknownKind", 3),
        ("EnvironmentFault", 3),
        ("MissingExtra", 3),
    ],
)
def test_every_error_has_its_exit_code_and_the_common_base(name: str, code: int) -> None:
    kind = getattr(errors, name)
    assert issubclass(kind, XceptionError)
    assert kind.exit_code == code
    assert f"{name} " in (errors.__doc__ or "")


def test_no_error_is_missing_from_the_overview() -> None:
    kinds = [name for name, kind in vars(errors).items() if inspect.isclass(kind) and issubclass(kind, Exception)]
    assert all(f"{name} " in (errors.__doc__ or "") for name in kinds)


def test_near_names_are_suggested_and_far_ones_listed() -> None:
    assert str(UnknownName("fruit", "aple", ["fig", "apple"])) == "unknown fruit 'aple'; did you mean apple?"
    assert str(UnknownName("fruit", "zzz", ["pear", "apple"])) == "unknown fruit 'zzz'; known: apple, pear"


def test_an_ambiguous_name_lists_its_candidates_in_order() -> None:
    error = AmbiguousName("fruit", "berry", ["straw", "blue"])
    assert error.candidates == ("blue", "straw")
    assert "choose one of blue, straw" in str(error)


def test_missing_extras_are_named_with_the_one_command_that_installs_them_all() -> None:
    assert str(MissingExtra({"onnxruntime": "onnx"})) == (
        f"this needs the Python package 'onnxruntime', which is not installed; run: {install_command('onnx')}"
    )
    several = MissingExtra({"torch": "torch", "httpx": "hub", "lightning_fabric": "torch"})
    assert "the Python packages 'httpx' and 'lightning_fabric' and 'torch', which are not installed" in str(several)
    assert str(several).endswith(install_command("hub", "torch"))
    assert several.extras == ("hub", "torch")


METADATA = [
    "numpy>=2.0",
    'torch>=2.6; extra == "torch"',
    "httpx>=0.27; extra == 'hub'",
    'onnx>=1.17; extra == "onnx"',
    'xception[onnx,torch]; extra == "openvino"',
    'openvino>=2024.6; extra == "openvino"',
    'quick>=4.0; (platform_machine != "aarch64" and os_name != "nt") and extra == "fast"',
]


def test_a_clone_installs_from_itself_and_an_installed_package_names_the_requirements(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(errors, "CHECKOUT", tmp_path)
    monkeypatch.setattr(metadata, "requires", lambda _: METADATA)
    monkeypatch.setattr(errors, "pip", lambda: ("pip",))
    assert install_command("torch", "hub", "torch") == "pip install 'httpx>=0.27' 'torch>=2.6'"
    assert install_command("openvino") == "pip install 'onnx>=1.17' 'openvino>=2024.6' 'torch>=2.6'"
    assert install_command("fast") == """pip install 'quick>=4.0; platform_machine != "aarch64" and os_name != "nt"'"""
    (tmp_path / "pyproject.toml").touch()
    assert install_command("torch") == f"pip install -e '{tmp_path}[torch]'"
    monkeypatch.chdir(tmp_path)
    assert install_command("torch") == "pip install -e '.[torch]'"


def test_a_failed_check_is_not_a_usage_error() -> None:
    assert not issubclass(CheckFailed, UsageError)
