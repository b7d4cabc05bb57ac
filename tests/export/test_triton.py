from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from tests.export.requests import export_to
from xception.backends.base import open_session
from xception.bundle import Bundle, open_bundle
from xception.errors import CheckFailed, InputError
from xception.export import triton
from xception.export.pbtxt import read_pbtxt
from xception.export.program import GraphOptions
from xception.tasks.agreement import probe_pixels


def config(folder: Path) -> dict[str, list[Any]]:
    return read_pbtxt((folder / "config.pbtxt").read_text())


def test_the_folder_is_a_model_as_triton_reads_it(weights_bundle: Bundle, tmp_path: Path) -> None:
    out = export_to(weights_bundle, "triton", tmp_path / "faces")
    assert sorted(path.name for path in out.iterdir()) == ["1", "config.pbtxt", "labels.txt"]
    found = config(out)
    assert (found["name"], found["backend"], found["max_batch_size"]) == (["faces"], ["onnxruntime"], [32])
    assert found["input"] == [{"name": ["pixels"], "data_type": ["TYPE_FP32"], "dims": [3, 32, 32]}]
    assert found["output"] == [
        {"name": ["logits"], "data_type": ["TYPE_FP32"], "dims": [7], "label_filename": ["labels.txt"]}
    ]
    assert found["dynamic_batching"][0]["preferred_batch_size"] == [4, 8, 16, 32]
    assert found["instance_group"] == [{"count": [1], "kind": ["KIND_AUTO"]}]


def test_the_graph_that_the_configuration_names_runs_and_agrees(weights_bundle: Bundle, tmp_path: Path) -> None:
    out = export_to(weights_bundle, "triton", tmp_path / "faces")
    found = config(out)
    session = onnxruntime.InferenceSession(out / "1" / found["default_model_filename"][0])
    pixels = probe_pixels(weights_bundle, 5)
    (logits,) = session.run(found["output"][0]["name"], {found["input"][0]["name"][0]: pixels})
    np.testing.assert_allclose(logits, open_session(weights_bundle)(pixels), atol=1e-4)
    inside = open_bundle(out / "1", verify=True).model.agreement
    assert inside
    assert inside.relative_diff < 1e-5


def test_a_fixed_batch_is_an_axis_and_images_are_bytes(weights_bundle: Bundle, tmp_path: Path) -> None:
    options = GraphOptions(fixed_batch=4, image_input=True, top_k=2)
    found = config(export_to(weights_bundle, "triton", tmp_path / "faces", options=options))
    assert found["max_batch_size"] == [0]
    assert "dynamic_batching" not in found
    assert found["input"] == [{"name": ["image"], "data_type": ["TYPE_UINT8"], "dims": [4, 32, 32, 3]}]
    types = {port["name"][0]: port["data_type"][0] for port in found["output"]}
    assert types == {"logits": "TYPE_FP32", "top_values": "TYPE_FP32", "top_indices": "TYPE_INT64"}
    labels = {port["name"][0]: "label_filename" in port for port in found["output"]}
    assert labels == {"logits": True, "top_values": False, "top_indices": False}


def test_a_free_size_is_announced(weights_bundle: Bundle, tmp_path: Path) -> None:
    found = config(export_to(weights_bundle, "triton", tmp_path / "faces", options=GraphOptions(free_size=True)))
    assert found["input"][0]["dims"] == [3, -1, -1]


def test_a_configuration_that_does_not_fit_its_graph_is_not_written(
    weights_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(name: str, exported: Bundle) -> dict[str, Any]:
        document = right(name, exported)
        document["input"][0]["dims"] = [32, 32, 3]
        return document

    right = triton.configuration
    monkeypatch.setattr(triton, "configuration", wrong)
    with pytest.raises(CheckFailed, match=r"config\.pbtxt announces .* as input and the graph has"):
        export_to(weights_bundle, "triton", tmp_path / "faces")
    assert not list(tmp_path.iterdir())


def test_only_an_earlier_export_is_replaced(weights_bundle: Bundle, tmp_path: Path) -> None:
    out = export_to(weights_bundle, "triton", tmp_path / "faces")
    with pytest.raises(InputError, match=r"already holds a model for Triton; .* --overwrite"):
        export_to(weights_bundle, "triton", out)
    export_to(weights_bundle, "triton", out, overwrite=True)
    (out / "notes").touch()
    with pytest.raises(InputError, match="choose another place"):
        export_to(weights_bundle, "triton", out, overwrite=True)
