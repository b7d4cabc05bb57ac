import io
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support.numpy_forward import forward
from tests.support.samples import drawn_tensors
from xception.arch.variants import VARIANTS, architecture
from xception.bundle import Bundle, open_bundle
from xception.errors import CheckFailed
from xception.export.export import export_bundle
from xception.export.program import GraphOptions, program
from xception.export.torch import ProgramModule, network_values, pt2_files, run_torchscript
from xception.models.network import build
from xception.preprocess import Preprocess, Squash


@pytest.mark.parametrize("name", VARIANTS)
def test_the_values_inside_end_in_the_networks_logits(name: str) -> None:
    spec = architecture(name, width=0.05, num_classes=6)
    tensors = drawn_tensors(spec)
    pixels = np.random.default_rng(0).normal(size=(2, spec.in_channels, 48, 47)).astype(np.float32)
    *_, logits = network_values(spec, tensors, pixels).values()
    with torch.inference_mode():
        expected = build(spec, tensors).eval()(torch.from_numpy(pixels)).numpy()
    np.testing.assert_allclose(logits, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.filterwarnings("ignore:`torch.jit.trace:DeprecationWarning")
def test_a_traced_walk_takes_odd_and_even_sizes() -> None:
    spec = architecture("keras_xception", width=0.05, num_classes=6)
    tensors = drawn_tensors(spec)
    walk = ProgramModule(program(spec, tensors, Preprocess(), GraphOptions(free_size=True)))
    traced = torch.jit.trace(walk, torch.zeros(2, 3, 64, 64), check_trace=False)
    for sides in ((48, 47), (71, 50)):
        pixels = np.random.default_rng(0).normal(size=(1, 3, *sides)).astype(np.float32)
        expected = forward(spec, tensors, pixels)
        (logits,) = traced(torch.from_numpy(pixels))
        np.testing.assert_allclose(logits.numpy(), expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.filterwarnings("ignore:`torch.jit.load`:DeprecationWarning")
@pytest.mark.parametrize("free_size", [False, True])
def test_torchscript_of_a_fixed_size_computes_no_shapes(
    free_size: bool, weights_bundle: Bundle, tmp_path: Path
) -> None:
    options = GraphOptions(free_size=free_size)
    exported = export_bundle(weights_bundle, "torchscript", tmp_path / "out", options=options)
    kinds = {node.kind() for node in torch.jit.load(exported.main_file).inlined_graph.nodes()}
    assert (not kinds & {"aten::size", "aten::remainder", "prim::NumToTensor", "aten::Int"}) != free_size


@pytest.mark.parametrize("to", ["pt2", "torchscript"])
def test_torchs_own_formats_are_compared_in_torch(to: str, weights_bundle: Bundle, tmp_path: Path) -> None:
    options = GraphOptions(image_input=True, top_k=2, class_maps=True)
    export_bundle(weights_bundle, to, tmp_path / "out", options=options)
    exported = open_bundle(tmp_path / "out", verify=True)
    assert exported.model.form == to
    assert exported.model.agreement
    assert exported.model.agreement.batch_sizes == (1, 2, 7)
    assert exported.model.agreement.relative_diff < 1e-5


def test_a_file_that_does_not_run_fails_the_comparison(weights_bundle: Bundle, tmp_path: Path) -> None:
    exported = export_bundle(weights_bundle, "torchscript", tmp_path / "out", options=GraphOptions(class_maps=True))
    with pytest.raises(CheckFailed, match="the torchscript file does not run on five channels: "):
        run_torchscript(exported, {"five channels": np.zeros((1, 5, 32, 32), np.float32)})


def test_an_exported_program_holds_the_operations_that_converters_read() -> None:
    spec = architecture("tiny_xception", width=0.5, num_classes=4)
    small = Preprocess(color="gray", resize=Squash(width_px=32, height_px=32), mean=(0.5,), std=(0.5,))
    made = program(spec, drawn_tensors(spec), small, GraphOptions(fixed_batch=1))
    assert torch.export.load(io.BytesIO(pt2_files(made)["model.pt2"])).dialect == "ATEN"
