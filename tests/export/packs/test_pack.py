import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.export.requests import export_to
from tests.support.samples import encoded, labelled, picture
from xception.bundle import Bundle
from xception.data.decode import decode
from xception.data.source import Item, Items
from xception.errors import InputError, UsageError
from xception.export.packs import verify
from xception.export.packs.pack import calibration_items, safe, sample_of, write_images
from xception.export.request import ExportRequest


def request_for(bundle: Bundle, **parts: Any) -> ExportRequest:
    return ExportRequest(bundle=bundle, to="vastai", out=Path("pack"), **parts)


def test_data_in_calibration_and_evaluation_at_once_are_refused(weights_bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="are in both"):
        export_to(weights_bundle, "ascend", tmp_path / "pack", calibration=labelled(7), data=labelled(3))
    assert list(tmp_path.iterdir()) == []


def test_a_graph_is_refused_and_so_is_a_place_that_is_taken(
    weights_bundle: Bundle, onnx_bundle: Bundle, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="export from the bundle of weights"):
        export_to(onnx_bundle, "ascend", tmp_path / "pack")
    (tmp_path / "file").touch()
    for overwrite in (False, True):
        with pytest.raises(InputError, match="choose another place"):
            export_to(weights_bundle, "vastai", tmp_path, overwrite=overwrite)


def test_a_pack_without_data_has_noise_for_inputs_and_says_so(weights_bundle: Bundle, tmp_path: Path) -> None:
    for _ in range(2):
        pack = export_to(weights_bundle, "vastai", tmp_path / "pack", overwrite=True)
    manifest = verify.check_pack(pack)
    assert len(manifest["inputs"]["names"]) == 16
    assert set(manifest["inputs"]["targets"]) == {None}
    assert (manifest["expected"], manifest["cost"], manifest["calibration_images"]) == ({}, None, 0)
    text = (pack / "README.md").read_text()
    assert "was not measured" in text
    assert "no data were named" in text
    assert json.loads((pack / "pack.json").read_bytes())["vendor"] == "vastai"


def test_items_of_one_stem_get_distinct_names(weights_bundle: Bundle) -> None:
    items = [Item(f"{name}/0.x.png", 0, lambda: encoded(picture())) for name in ("ant", "bee")]
    sample = sample_of(request_for(weights_bundle, data=Items("two", ("ant",), tuple(items))))
    assert sample.names == ("000000_0_x", "000001_0_x")
    assert len(sample_of(request_for(weights_bundle, data=labelled(9), inputs=5)).names) == 5
    assert safe("a b/c:ü.d") == "a_b_c___d"


@pytest.mark.parametrize(("kind", "suffix"), [("JPEG", "JPEG"), ("PNG", "png")])
def test_jpeg_files_go_as_they_are_and_others_without_loss(
    kind: str, suffix: str, weights_bundle: Bundle, tmp_path: Path
) -> None:
    content = encoded(picture(), kind)
    source = Items("one", ("ant",), (Item("ant/0.x", 0, lambda: content),))
    request = request_for(weights_bundle, calibration=source)
    assert write_images(tmp_path, request) == suffix
    (name, _), *_ = calibration_items(request)
    written = (tmp_path / "calibration" / "ant" / f"{name}.{suffix}").read_bytes()
    if kind == "JPEG":
        assert written == content
    else:
        assert np.array_equal(np.asarray(decode(written)), np.asarray(picture()))


def test_a_broken_calibration_image_is_named(weights_bundle: Bundle, tmp_path: Path) -> None:
    for vendor in ("ascend", "vastai"):
        with pytest.raises(InputError, match="002 cannot be read"):
            export_to(weights_bundle, vendor, tmp_path / "pack", calibration=labelled(7, broken=[2]))
    assert list(tmp_path.iterdir()) == []
