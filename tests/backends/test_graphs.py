from pathlib import Path

import pytest

from xception.backends import graphs
from xception.backends.graphs import GraphFacts, Port, describe_graph
from xception.bundle import Bundle
from xception.errors import InputError, MissingExtra


def test_an_onnx_file_tells_its_inputs_and_outputs(onnx_bundle: Bundle) -> None:
    assert describe_graph(onnx_bundle.main_file) == GraphFacts(
        format="onnx",
        inputs=(Port(name="pixels", dtype="tensor(float)", shape=("N", 3, 32, 32)),),
        outputs=(Port(name="logits", dtype="tensor(float)", shape=("N", 7)),),
    )


def test_an_openvino_file_tells_its_inputs_and_outputs(forms: dict[str, Bundle]) -> None:
    assert describe_graph(forms["openvino"].main_file) == GraphFacts(
        format="openvino",
        inputs=(Port(name="pixels", dtype="f32", shape=(None, 3, 32, 32)),),
        outputs=(Port(name="logits", dtype="f32", shape=(None, 7)),),
    )


def test_a_litert_file_tells_its_inputs_and_outputs(forms: dict[str, Bundle]) -> None:
    assert describe_graph(forms["litert"].main_file) == GraphFacts(
        format="litert",
        inputs=(Port(name="pixels", dtype="float32", shape=(None, 32, 32, 3)),),
        outputs=(Port(name="logits", dtype="float32", shape=(None, 7)),),
    )


@pytest.mark.parametrize("name", ["model.onnx", "model.xml", "model.tflite"])
def test_a_damaged_graph_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"nothing of the kind")
    with pytest.raises(InputError, match=f"{name} is no graph that its runtime takes"):
        describe_graph(tmp_path / name)


def test_without_the_runtime_the_kind_is_told_all_the_same(
    onnx_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(module: str, extra: str) -> None:
        raise MissingExtra({module: extra})

    monkeypatch.setattr(graphs, "require", missing)
    assert describe_graph(onnx_bundle.main_file) == GraphFacts(format="onnx", inputs=None, outputs=None)
