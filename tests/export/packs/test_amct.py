"""Packs of int8 bundles: the graph for Ascend holds to AMCT's rules and computes the same, and VastAI's way is told."""

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from tests.export.requests import export_to
from tests.interchange.readers import read_ascend_input, read_info
from tests.support.reader import HELD_OUT
from tests.support.samples import labelled, write_folder
from xception.bundle import Bundle
from xception.cli.app import run
from xception.data.digits import digits
from xception.errors import UsageError
from xception.export.packs import verify
from xception.export.packs.amct import adaptable
from xception.export.program import GraphOptions
from xception.quantize.quantize import Tuning, quantize_bundle

Quantize = Callable[..., Bundle]


@pytest.fixture(scope="module")
def quantize(reader_weights: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Quantize:
    def made(method: Any = "max", tuning: Tuning | None = None, **options: Any) -> Bundle:
        parts: dict[str, Any] = {"validation": HELD_OUT, "images": 40, "tolerance": 0.9, "tuning": tuning}
        place = tmp_path_factory.mktemp("int8") / "bundle"
        parts["options"] = GraphOptions(**options)
        return quantize_bundle(reader_weights, digits("train"), place, method=method, **parts)[0]

    return made


@pytest.fixture(scope="module")
def int8(quantize: Quantize) -> Bundle:
    return quantize()


@pytest.fixture(scope="module")
def pack(int8: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_to(int8, "ascend", tmp_path_factory.mktemp("packs") / "ascend", data=digits("test"), inputs=20)


def faults(model: onnx.ModelProto) -> list[str]:
    """Departures from the guide's rules on graphs that AMCT converts."""
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    makers = {name: node for node in model.graph.node for name in node.output}
    found = []
    for node in model.graph.node:
        grids = [name in makers and makers[name].op_type == "DequantizeLinear" for name in node.input]
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            zero = constants[node.input[2]]
            found += [f"{node.name}: {zero.dtype}"] if zero.dtype != np.int8 else []
        elif any(grids) and node.op_type not in ("Conv", "Gemm", "MatMul"):
            found.append(f"{node.name}: a grid in front of {node.op_type}")
        elif any(grids) and grids[:2] != [True, True]:
            found.append(f"{node.name}: only one of input and weights")
        if node.op_type == "DequantizeLinear":
            pair = makers.get(node.input[0])
            if pair is None or pair.op_type != "QuantizeLinear" or pair.input[1:] != node.input[1:]:
                found.append(f"{node.name}: no quantizer of the same grid in front")
        if node.op_type in ("Gemm", "MatMul") and grids[1] and constants[makers[node.input[1]].input[1]].size > 1:
            found.append(f"{node.name}: a dense layer with a scale for each channel")
        found += [f"{node.name}: a bias on a grid"] if any(grids[2:]) else []
    return found


@pytest.mark.parametrize("tuning", [Tuning(), Tuning(is_signed=True)], ids=["unsigned", "signed"])
def test_the_graph_holds_to_the_tools_rules_which_the_bundles_does_not(tuning: Tuning, quantize: Quantize) -> None:
    model = onnx.load(quantize(tuning=tuning).main_file)
    assert faults(model)
    made = adaptable(model)
    assert faults(made) == []
    onnx.checker.check_model(made, full_check=True)
    layers = [node for node in model.graph.node if node.op_type == "Conv"]
    assert sum(node.op_type == "QuantizeLinear" for node in made.graph.node) > len(layers) > 20


def test_a_dense_layer_stays_in_float_unless_it_has_one_scale() -> None:
    rng = np.random.default_rng(0)
    weights = rng.integers(-127, 127, (3, 4)).astype(np.int8)
    for scales, pairs in ((np.float32([0.1, 0.2, 0.3]), 0), (np.float32(0.1), 2)):
        graph = onnx.helper.make_graph(
            [
                onnx.helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
                onnx.helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
                onnx.helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wd"], axis=0),
                onnx.helper.make_node("Gemm", ["d", "wd"], ["y"], transB=1),
            ],
            "dense",
            [onnx.helper.make_tensor_value_info("x", 1, (2, 4))],
            [onnx.helper.make_tensor_value_info("y", 1, (2, 3))],
            [
                numpy_helper.from_array(np.asarray(value), name)
                for name, value in {
                    "s": np.float32(0.01),
                    "z": np.uint8(128),
                    "w": weights,
                    "ws": scales,
                    "wz": np.zeros_like(scales, np.int8),
                }.items()
            ],
        )
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
        made = adaptable(model)
        assert faults(made) == []
        assert sum(node.op_type == "QuantizeLinear" for node in made.graph.node) == pairs
        pixels = {"x": rng.uniform(-1, 1, (2, 4)).astype(np.float32)}
        ours, theirs = (onnxruntime.InferenceSession(m.SerializeToString()).run(None, pixels)[0] for m in (made, model))
        assert np.abs(ours - theirs).max() < 0.01 * np.abs(scales * 127).max() * 4


def test_a_grid_that_stood_for_a_relu_leaves_one_behind(int8: Bundle) -> None:
    model = onnx.load(int8.main_file)
    assert not any(node.op_type == "Relu" for node in model.graph.node)
    made = adaptable(model)
    rectified = {node.input[0] for node in made.graph.node if node.op_type == "Relu"}
    zeros = {tensor.name for tensor in model.graph.initializer if tensor.name.endswith("act_zero_point")}
    assert {name.removesuffix("_zero_point") for name in zeros} <= rectified


def test_a_pack_of_int8_is_run_and_compared_with_the_int8_bundle(
    pack: Path, int8: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = verify.check_pack(pack)
    assert (manifest["model"]["precision"], manifest["model"]["digest"]) == ("int8", int8.model.digest)
    assert [*manifest["agreement"]] == [f"onnx/reader_bs{batch}.onnx" for batch in (1, 4, 8, 16, 32)]
    assert 0 < manifest["agreement"]["onnx/reader_bs4.onnx"]["relative_diff"] < 0.25
    session = onnxruntime.InferenceSession(pack / "onnx/reader_bs1.onnx")
    for row in read_info(pack / "inputs.info"):
        pixels = read_ascend_input(pack / row.path, (1, row.height_px, row.width_px))
        session.run(["class"], {"image": pixels[None]})[0].tofile(tmp_path / f"{Path(row.path).stem}_1.bin")
    verify.check_results(pack, manifest, tmp_path, 0.95)
    assert "of 20 inputs" in capsys.readouterr().out


def test_results_of_the_float_network_with_other_weights_do_not_pass_for_int8(pack: Path, tmp_path: Path) -> None:
    manifest = verify.check_pack(pack)
    for name, row in zip(manifest["inputs"]["names"], np.load(pack / "goldens/logits.npy")[::-1], strict=True):
        row.tofile(tmp_path / f"{name}_1.bin")
    with pytest.raises(verify.Fault):
        verify.check_results(pack, manifest, tmp_path, 0.95)


def test_the_script_converts_each_graph_before_it_is_compiled(pack: Path, tmp_path: Path) -> None:
    script = (pack / "compile.sh").read_text()
    subprocess.run(["sh", "-n", pack / "compile.sh"], check=True)
    assert "amct_onnx convert --model=onnx/reader_bs4.onnx --save_path=amct/reader_bs4\n" in script
    assert "--model=amct/reader_bs4_deploy_model.onnx --output=om/reader_bs4 " in script
    text = (pack / "README.md").read_text()
    assert "## int8" in text
    assert "compared with the int8 bundle" in text
    assert "INT8=1" not in text


def test_a_pack_of_weights_quantizes_with_its_calibration_images(packs: dict[str, Path]) -> None:
    script = (packs["ascend"] / "compile.sh").read_text()
    subprocess.run(["sh", "-n", packs["ascend"] / "compile.sh"], check=True)
    assert '--input_shape="image:1,3,32,32" --data_dir=calibration --data_types=float32 --batch_num=21' in script
    assert "--model=amct/small_bs1_deploy_model.onnx --output=om/small_bs1_int8 " in script
    assert "INT8=1 sh compile.sh" in (packs["ascend"] / "README.md").read_text()


def test_a_fixed_batch_stays_the_only_one(quantize: Quantize, tmp_path: Path) -> None:
    pack = export_to(quantize(fixed_batch=2), "ascend", tmp_path / "pack")
    assert [path.name for path in (pack / "onnx").iterdir()] == ["reader_bs2.onnx"]


@pytest.mark.parametrize(
    ("changed", "refused"),
    [
        ({"input_values": "image"}, "quantize the weights without --image-input"),
        ({"output_values": "probabilities"}, "quantize the weights without --image-input, --probabilities"),
        ({"top_k": 2}, "--top-k and --class-maps"),
        ({"input_shape": (None, 1, None, None)}, "quantize the weights without --free-size"),
    ],
)
def test_int8_that_takes_or_gives_anything_else_is_refused(
    changed: dict[str, Any], refused: str, int8: Bundle, tmp_path: Path
) -> None:
    graph = msgspec.structs.replace(int8.graph, **changed)
    other = replace(int8, model=msgspec.structs.replace(int8.model, graph=graph))
    with pytest.raises(UsageError, match=refused):
        export_to(other, "ascend", tmp_path / "pack")
    assert not list(tmp_path.iterdir())


def test_int8_has_its_ranges_and_takes_no_calibration(int8: Bundle, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has its ranges; leave out --calibration"):
        export_to(int8, "ascend", tmp_path / "pack", calibration=labelled(7))


def test_vastai_is_told_how_to_quantize_alike(int8: Bundle, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"of weights .*, with --calibration DATA --calibrate-mode max$"):
        export_to(int8, "vastai", tmp_path / "pack")
    assert not list(tmp_path.iterdir())


def test_vastais_compiler_is_asked_for_the_ranges_that_were_named(weights_bundle: Bundle, tmp_path: Path) -> None:
    photos, pack = write_folder(tmp_path / "photos", 1), tmp_path / "pack"
    command = ["export", weights_bundle.path, "--to", "vastai", "--calibration", photos, "--out", pack]
    assert run([*map(str, command), "--calibrate-mode", "kl_divergence"]) == 0
    assert json.loads((pack / "pack.json").read_bytes())["calibrate_mode"] == "kl_divergence"
    assert "calibrate_mode: kl_divergence\n" in (pack / "build_int8.yaml").read_text()
