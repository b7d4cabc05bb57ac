"""Every form that is exported keeps the promises of its row, and a form that is only a stub does not."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import onnx
import pytest

from tests.export.contract import (
    CHECKS,
    SLOW_OPTIONS,
    Case,
    export_to_form,
    refuses_other_options,
    someone_runs_it,
    takes_option,
    writes_its_files,
)
from tests.export.stub_form import STUB
from xception.bundle import Bundle, write_bundle
from xception.forms import FORMS, Form, exportable

pytestmark = pytest.mark.usefixtures("mindspore")


@pytest.fixture(scope="module", params=exportable())
def written(
    request: pytest.FixtureRequest, weights_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory, mindspore: object
) -> tuple[Form, Bundle]:
    place = tmp_path_factory.mktemp(request.param) / "exported"
    return request.param, export_to_form(weights_bundle, request.param, place)


@pytest.mark.parametrize("check", CHECKS)
def test_a_form_keeps_the_promises_of_its_row(
    check: Callable[[Case], None],
    written: tuple[Form, Bundle],
    weights_bundle: Bundle,
    onnx_bytes: bytes,
    tmp_path: Path,
) -> None:
    form, exported = written
    check(Case(form, weights_bundle, exported, onnx.load_from_string(onnx_bytes), tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize(("form", "option"), SLOW_OPTIONS)
def test_a_form_takes_its_slow_options(
    form: Form, option: str, weights_bundle: Bundle, onnx_bytes: bytes, tmp_path: Path
) -> None:
    takes_option(Case(form, weights_bundle, weights_bundle, onnx.load_from_string(onnx_bytes), tmp_path), option)


KEPT_BY_A_STUB = (writes_its_files, refuses_other_options, someone_runs_it)


@pytest.mark.parametrize("check", [check for check in CHECKS if check not in KEPT_BY_A_STUB])
def test_a_form_that_is_only_a_stub_is_reported(
    check: Callable[[Case], None],
    weights_bundle: Bundle,
    onnx_bundle: Bundle,
    onnx_bytes: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(FORMS, "stub", STUB)
    model = msgspec.structs.replace(onnx_bundle.model, form="stub")
    exported = write_bundle(tmp_path / "stub", model, onnx_bundle.labels, {"model.stub": b"stub"})
    case = Case("stub", weights_bundle, exported, onnx.load_from_string(onnx_bytes), tmp_path)
    with pytest.raises((Exception, pytest.fail.Exception)):
        check(case)


def test_a_stub_is_not_exported(weights_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FORMS, "stub", STUB)
    with pytest.raises(NotImplementedError):
        export_to_form(weights_bundle, "stub", tmp_path / "out")
    assert not list(tmp_path.iterdir())
