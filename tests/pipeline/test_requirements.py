from pathlib import Path

import pytest

from tests.convert.checkpoints import drawn, write_safetensors
from xception.bundle import Bundle
from xception.errors import InputError
from xception.pipeline.requirements import packages_to_run


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.parametrize(
    ("form", "packages"),
    [
        ("weights", ("torch",)),
        ("onnx", ("onnxruntime",)),
        ("openvino", ("openvino",)),
        ("litert", ("ai_edge_litert",)),
    ],
)
def test_a_bundle_needs_the_runtime_of_its_form(form: str, packages: tuple[str, ...], forms: dict[str, Bundle]) -> None:
    assert packages_to_run(forms[form]) == packages_to_run(str(forms[form].path)) == packages


def test_a_backend_that_is_named_goes_before(onnx_bundle: Bundle) -> None:
    assert packages_to_run(onnx_bundle, "openvino") == ("openvino",)
    assert packages_to_run(onnx_bundle, "auto") == packages_to_run(onnx_bundle, "no_such") == ()


def test_what_is_no_bundle_yet_becomes_one_of_weights_and_may_have_to_be_fetched(tmp_path: Path) -> None:
    assert packages_to_run(write_safetensors(tmp_path / "w.safetensors", drawn("timm_xception41"))) == ("torch",)
    assert packages_to_run("keras_xception.imagenet") == ("httpx", "torch")
    with pytest.raises(InputError, match="does not exist"):
        packages_to_run("nothing")
