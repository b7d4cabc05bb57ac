"""The page on int8 shows what was measured of every combination, and the measurements fit what the code allows."""

import copy
from typing import cast

import pytest

from benchmarks.int8_matrix import EXPORTED, ROWS
from pages.int8_matrix import DATA, tables
from pages.markdown import measured
from xception.export.targets import EXPORT_TARGETS
from xception.forms import FORMS, OLDEST_INT8_OPSET, Form, quantizable


@pytest.mark.parametrize("to", quantizable())
def test_what_was_refused_is_what_the_forms_refuse(to: Form) -> None:
    int8 = FORMS[to].int8
    assert int8
    cells = measured(DATA)["quantize"]
    assert list(cells) == list(ROWS), "run python -m benchmarks.int8_matrix, then make pages"
    for row, (options, tuning) in ROWS.items():
        opset = cast(int, options.get("opset", OLDEST_INT8_OPSET))
        is_taken = set(options) <= int8.options and opset >= OLDEST_INT8_OPSET
        if tuning.get("has_integer_ports"):
            is_taken = is_taken and int8.integer_ports and "probabilities" not in options
        assert ("refused" not in cells[row][to]) == is_taken, row
        assert not is_taken or cells[row][to]["top1_agreement"] > 0.97


def test_int8_bundles_were_exported_to_all_targets_that_take_graphs() -> None:
    cells = measured(DATA)["export"]
    assert list(cells) == list(EXPORTED)
    for to, cell in cells.items():
        assert ("refused" not in cell) == ("int8" in EXPORT_TARGETS[to].graphs), to


def test_another_number_would_change_the_page() -> None:
    data = copy.deepcopy(measured(DATA))
    before = tables(data)
    data["quantize"]["none"]["onnx"]["logit_error"] = 0.5
    assert tables(data)["int8-options"] != before["int8-options"]
    assert tables(data)["int8-exports"] == before["int8-exports"]
