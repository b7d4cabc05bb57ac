from dataclasses import replace

import pytest

from xception.backends.base import BACKENDS
from xception.errors import MissingExtra
from xception.forms import FORMS, describable, exportable, quantizable, run_by


def test_no_two_forms_share_a_file() -> None:
    names = [name for facts in FORMS.values() for name in facts.files]
    assert len(set(names)) == len(names)
    suffixes = [facts.suffix for facts in FORMS.values()]
    assert len(set(suffixes)) == len(suffixes)


@pytest.mark.parametrize("form", FORMS)
def test_all_functions_of_a_row_exist(form: str) -> None:
    facts = FORMS[form]
    int8 = facts.int8.writer if facts.int8 else None
    for name in (facts.writer, facts.runner, facts.versions, facts.taps, facts.ports, int8):
        assert name is None or callable(facts.function(name))


def test_the_lists_of_forms_are_those_of_the_table() -> None:
    assert exportable() == ("onnx", "openvino", "litert", "pt2", "torchscript", "mindir")
    assert quantizable() == ("onnx", "openvino", "litert")
    assert describable() == {".onnx": "onnx", ".xml": "openvino", ".tflite": "litert"}


def test_every_backend_of_the_table_is_one_and_runs_something() -> None:
    assert {name for facts in FORMS.values() for name in facts.backends} == set(BACKENDS)
    assert run_by("openvino") == ("openvino", "onnx")


def test_a_missing_package_is_named_with_its_extra() -> None:
    facts = replace(FORMS["pt2"], extra="torch")
    with pytest.raises(MissingExtra, match=r"\[torch\]"):
        facts.function("no_such_package:function")


def test_a_fault_of_our_own_is_no_missing_package() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"xception\.no_such_module"):
        FORMS["pt2"].function("xception.no_such_module:function")
