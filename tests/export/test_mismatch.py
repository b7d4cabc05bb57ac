from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.export.planted import FAULTS
from tests.support.lanes import slow_unless
from tests.support.samples import drawn_tensors
from xception.bundle import Bundle, Model, Network, write_bundle
from xception.cli.app import run
from xception.errors import CheckFailed
from xception.export import export
from xception.export.export import export_bundle
from xception.export.mismatch import expected_values, first_mismatch
from xception.export.program import GraphOptions, program
from xception.export.verify import verify
from xception.forms import FORMS
from xception.labels import Labels
from xception.preprocess import CenterCrop, Preprocess
from xception.tasks.agreement import probe_pixels
from xception.weights import weights_bytes

LABELS = Labels(tuple("abcdef"))
PREPROCESS = Preprocess(crop=CenterCrop(height_px=44, width_px=45))


TAPPED = [form for form, facts in FORMS.items() if facts.taps]


def weights(name: str, path: Path) -> Bundle:
    network = Network(variant=name, num_classes=len(LABELS), in_channels=3, width=0.03)
    model = Model(name="small", network=network, form="weights", precision="float32", preprocess=PREPROCESS)
    files: dict[str, bytes | Path] = {"weights.safetensors": weights_bytes(drawn_tensors(network.architecture()))}
    return write_bundle(path, model, LABELS, files)


@pytest.mark.parametrize("to", slow_unless(lambda form: form != "openvino", TAPPED))
@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_caught_and_located(
    fault: str, to: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    variant, plant = FAULTS[fault]
    bundle = weights(variant, tmp_path / "weights")
    places: list[str] = []

    def planted(*arguments: object) -> object:
        made, place = plant(program(*arguments))
        places.append(place)
        return made

    monkeypatch.setattr(export, "program", planted)
    assert run(["export", str(bundle.path), "--to", to, "--out", str(tmp_path / "out")]) == 1
    message = capsys.readouterr().err
    assert f"it first differs at {places[0]}, by at most " in message
    assert "nothing was written" in message
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("to", TAPPED)
@pytest.mark.parametrize(
    "variant",
    slow_unless(
        lambda variant: variant == "mini_xception", ["timm_xception41p", "ppcls_xception41_deeplab", "mini_xception"]
    ),
)
def test_a_faithful_export_has_no_mismatch(variant: str, to: str, tmp_path: Path) -> None:
    bundle = weights(variant, tmp_path / "weights")
    exported = export_bundle(bundle, to, tmp_path / "out", options=GraphOptions(image_input=True))
    assert first_mismatch(exported, bundle, probe_pixels(bundle, 3), 1e-5) is None


def changed(exported: Bundle, path: Path, change: object) -> Bundle:
    """The same bundle with another graph in its ONNX file."""
    model = onnx.load(exported.main_file)
    change(model.graph)
    return write_bundle(path, exported.model, exported.labels, {"model.onnx": model.SerializeToString()})


def fix_batch_inside(graph: onnx.GraphProto) -> None:
    (flatten,) = (node for node in graph.node if node.op_type == "Flatten")
    classifier = next(node for node in graph.node if node.op_type == "Gemm")
    channels = next(tensor.dims[1] for tensor in graph.initializer if tensor.name == classifier.input[1])
    shape = onnx.numpy_helper.from_array(np.array([1, channels]), "shape")
    graph.initializer.append(shape)
    flatten.op_type = "Reshape"
    flatten.input.append("shape")
    del flatten.attribute[:]


def test_a_batch_that_is_fixed_after_all_is_caught_and_located(tmp_path: Path) -> None:
    bundle = weights("timm_xception41", tmp_path / "weights")
    exported = export_bundle(bundle, "onnx", tmp_path / "onnx")
    faulty = changed(exported, tmp_path / "faulty", fix_batch_inside)
    with pytest.raises(CheckFailed, match=r"does not run on 44x45 px, batch of 2, from 0: head\.pool fails \("):
        verify(faulty, bundle, [probe_pixels(bundle, 4)])


def test_a_wrong_shape_is_named(tmp_path: Path) -> None:
    bundle = weights("timm_xception41", tmp_path / "weights")
    exported = export_bundle(bundle, "onnx", tmp_path / "onnx")

    def stride(graph: onnx.GraphProto) -> None:
        conv = next(node for node in graph.node if node.name == "stem.1.conv")
        next(attribute for attribute in conv.attribute if attribute.name == "strides").ints[:] = [2, 2]

    found = first_mismatch(changed(exported, tmp_path / "faulty", stride), bundle, probe_pixels(bundle, 1), 1e-5)
    assert found
    assert (found.node, found.block, found.relative_diff) == ("stem.1.conv", "stem.1", None)
    assert "its shape is (1, 2, 11, 12), expected (1, 2, 22, 23)" in found.sentence()


def test_values_of_folded_convolutions_are_those_behind_their_norms(tmp_path: Path) -> None:
    bundle = weights("timm_xception41", tmp_path / "weights")
    values = expected_values(bundle, probe_pixels(bundle, 1))
    assert not any(name.endswith(".norm") for name in values)
    assert (values["stem.0.after.act"] == np.maximum(values["stem.0.conv"], 0)).all()
