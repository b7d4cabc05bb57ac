from pathlib import Path

import onnx
import pytest

from xception.backends.base import open_session
from xception.bundle import Bundle, write_bundle
from xception.errors import InputError


def test_a_graph_newer_than_the_runtime_names_the_way_out(onnx_bundle: Bundle, tmp_path: Path) -> None:
    graph = onnx.load_from_string(onnx_bundle.content())
    graph.opset_import[0].version = onnx.defs.onnx_opset_version() + 100
    files = {"model.onnx": graph.SerializeToString()}
    newer = write_bundle(tmp_path / "newer", onnx_bundle.model, onnx_bundle.labels, files)
    with pytest.raises(InputError, match="export the bundle again with an older --opset"):
        open_session(newer)
