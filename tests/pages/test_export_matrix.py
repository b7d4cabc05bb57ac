"""The page on exports shows what was measured, and what was measured has no hole."""

import copy

import pytest

from pages.export_matrix import COLUMNS, DATA, tables
from pages.markdown import measured
from xception.arch.variants import UNVERIFIED, VARIANTS
from xception.export.verify import TOLERANCES, VERIFIED_BATCH_SIZES

FULL_WIDTH = ("onnx", "onnx-11", "openvino")
FOUR = ("keras_xception", "timm_xception65p", "ppcls_xception41_deeplab", "mini_xception")


def test_every_variant_has_a_number_or_a_reason_in_every_format() -> None:
    data = measured(DATA)
    assert VARIANTS.keys() - UNVERIFIED <= data.keys() <= VARIANTS.keys(), (
        "run python -m benchmarks.export_matrix, then make pages"
    )
    for name, cells in data.items():
        assert set(cells) == set(COLUMNS), name
        assert all(cell.get("reason") or cell["relative_diff"] >= 0 for cell in cells.values())


@pytest.mark.parametrize("name", sorted(VARIANTS.keys() - UNVERIFIED))
def test_graphs_at_full_width_agree_at_every_batch_size_and_two_sizes(name: str) -> None:
    cells = measured(DATA)[name]
    for column in COLUMNS if name in FOUR else FULL_WIDTH:
        cell = cells[column]
        assert cell["width"] == 1
        assert cell["relative_diff"] <= TOLERANCES["float16" if column.endswith("float16") else "float32"]
        assert tuple(cell["batch_sizes"]) == VERIFIED_BATCH_SIZES
        assert len(cell["sizes_px"]) == (1 if column in ("pt2", "onnx-float16") else 2)


def test_another_number_would_change_the_page() -> None:
    data = copy.deepcopy(measured(DATA))
    before = tables(data)
    data["keras_xception"]["onnx"]["relative_diff"] = 0.5
    assert tables(data)["agreement"] != before["agreement"]
