from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.adoption.graphs import FEATURES, PX, STATED, Style, onnx_model, write_onnx
from xception.adoption.adopt import adopt
from xception.errors import InputError


@pytest.mark.parametrize(("px", "advice"), [("side", "check that --preprocess"), (PX, "export it again, for onnx")])
def test_a_graph_that_fails_on_every_image_is_refused(tmp_path: Path, px: int | str, advice: str) -> None:
    model = onnx_model(Style(px=px))
    # As if it had been traced for maps of 10 px.
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([-1, FEATURES, 10, 10], np.int64), "shape"))
    place = next(index for index, node in enumerate(model.graph.node) if node.op_type == "GlobalAveragePool")
    maps = model.graph.node[place].input[0]
    model.graph.node.insert(place, onnx.helper.make_node("Reshape", [maps, "shape"], ["traced"]))
    model.graph.node[place + 1].input[0] = "traced"
    onnx.save(model, tmp_path / "model.onnx")
    with pytest.raises(InputError, match=rf"cannot run it on images of 12 x 12 px \(.*\); {advice}"):
        adopt(tmp_path / "model.onnx", STATED)


def test_images_together_answer_as_they_do_one_by_one(tmp_path: Path) -> None:
    assert adopt(write_onnx(tmp_path / "free.onnx"), STATED).model.graph.input_shape[0] is None
    fixed = write_onnx(tmp_path / "inside.onnx", Style(flattens_for_one=True))
    assert adopt(fixed, STATED).model.graph.input_shape[0] == 1
