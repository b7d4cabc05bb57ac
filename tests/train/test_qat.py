from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
import torch

from tests.support.samples import drawn_tensors
from tests.train.samples import stop_at
from xception.arch.graph import INPUT
from xception.arch.variants import VARIANTS, architecture
from xception.bundle import INT8_RANGES, Bundle
from xception.data.digits import digits
from xception.errors import UsageError
from xception.export.onnx import onnx_files
from xception.export.program import program
from xception.export.torch import operation_values
from xception.models.network import build
from xception.pipeline.engine import Engine
from xception.preprocess import Preprocess, Squash
from xception.quantize.observation import exposed_session, observe
from xception.quantize.qdq import quantize_graph, scales
from xception.quantize.quantize import Tuning, quantize_bundle
from xception.quantize.trained import trained_ranges
from xception.tasks.evaluate import evaluate
from xception.train.qat import FakeQuantized, activation_grid, fake_quantized, kernel_grid
from xception.train.recipe import Recipe, load_recipe
from xception.train.settings import QatSettings
from xception.train.trainer import train_network
from xception.weights import read_weights

SCHEMES = {
    "as by default": QatSettings(),
    "one scale per kernel": QatSettings(per_channel=False),
    "signed, eight bits": QatSettings(signed=True, weight_bits=8),
}
EVERYDAY = ("mini_xception", "timm_xception41p", "ppcls_xception41_deeplab")


def small(variant: str, settings: QatSettings) -> tuple[FakeQuantized, Preprocess, np.ndarray]:
    """A narrow network on its grid, whose ranges are those of the pixels that come with it."""
    spec = architecture(variant, num_classes=5, width=0.5 if "mini" in variant else 0.04)
    channels = {"color": "gray", "mean": (0.5,), "std": (0.5,)} if spec.in_channels == 1 else {}
    preprocess = Preprocess(resize=Squash(width_px=40, height_px=40), **channels)
    pixels = np.random.Generator(np.random.PCG64(0)).uniform(-1, 1, (2, spec.in_channels, 40, 40)).astype(np.float32)
    network = fake_quantized(build(spec, drawn_tensors(spec)), settings, preprocess)
    network.train()(torch.from_numpy(pixels))
    return network.eval(), preprocess, pixels


def int8_graph(network: FakeQuantized, preprocess: Preprocess, pixels: np.ndarray) -> onnx.ModelProto:
    """What quantization makes of the network's tensors and ranges."""
    trained = msgspec.json.decode(network.bundle_files()[INT8_RANGES])
    model = onnx.load_from_string(onnx_files(program(network.spec, network.tensors(), preprocess))["model.onnx"])
    ranges = observe(model, [pixels]).ranges("max", is_signed=trained["is_signed"])
    for name, (low, high) in trained["ranges"].items():
        ranges[name] = (-max(-low, high), max(-low, high)) if trained["is_signed"] else (low, high)
    return quantize_graph(model, ranges, network.scheme)


def runtime_values(graph: onnx.ModelProto, pixels: np.ndarray) -> dict[str, torch.Tensor]:
    """What ONNX Runtime has on the grids, by the names of the operations."""
    rounding = {node.output[0]: node.input[0] for node in graph.graph.node if node.op_type == "QuantizeLinear"}
    found = {node.output[0]: rounding[node.input[0]] for node in graph.graph.node if node.input[0] in rounding}
    values = exposed_session(graph, found, is_optimized=False).run(list(found), {"pixels": pixels})
    return {name.removesuffix(".map"): torch.from_numpy(v) for name, v in zip(found.values(), values, strict=True)}


def values_from(
    network: FakeQuantized, theirs: dict[str, torch.Tensor], pixels: torch.Tensor
) -> dict[str, torch.Tensor]:
    """The network's values on the grids, each operation computed from the runtime's own inputs to it."""
    ours = {INPUT: network.activation(INPUT, pixels)}
    values = {INPUT: theirs[INPUT]}
    with torch.inference_mode():
        for node in network.nodes:
            (value,) = operation_values(node, network.tensors_of(node), values).values()
            rounded = network.activation(node.name, value)
            values[node.name] = theirs[node.name].view_as(value) if node.name in network.places else value
            if node.name in network.places:
                ours[node.name] = rounded.view_as(theirs[node.name])
    return ours


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
def test_every_grid_is_the_one_that_quantization_writes(scheme: QatSettings) -> None:
    network, preprocess, pixels = small("timm_xception41p", scheme)
    rows = {row.tensor: row for row in scales(int8_graph(network, preprocess, pixels))}
    for name, maker in network.rounds.activations.items():
        grid = activation_grid(network.ranges[network.places[maker]], is_signed=scheme.signed)
        assert (float(grid.scale), int(grid.zero)) == (rows[name].scales[0], rows[name].zero_points[0]), name
    for node in network.nodes:
        if f"{node.name}.weight" in network.rounds.kernels:
            kernel = network.kernel(node)
            grid = kernel_grid(kernel, bits=scheme.weight_bits, per_channel=scheme.per_channel)
            assert tuple(map(float, np.atleast_1d(grid.scale.numpy()))) == rows[f"{node.name}.weight"].scales, node.name
    assert len(network.rounds.kernels) > 40


@pytest.mark.parametrize(
    "variant", [name if name in EVERYDAY else pytest.param(name, marks=pytest.mark.slow) for name in VARIANTS]
)
def test_the_network_in_training_computes_what_the_int8_file_does(variant: str) -> None:
    network, preprocess, pixels = small(variant, QatSettings())
    theirs = runtime_values(int8_graph(network, preprocess, pixels), pixels)
    ours = values_from(network, theirs, torch.from_numpy(pixels))
    scales_of = {name: activation_grid(network.ranges[network.places[name]], is_signed=False).scale for name in ours}
    steps = {name: ((value - theirs[name]).abs() / scales_of[name]).round() for name, value in ours.items()}
    assert len(steps) == len(network.places)
    assert max(float(step.max()) for step in steps.values()) <= 1
    assert np.mean([float((step > 0).float().mean()) for step in steps.values()]) < 5e-3


def test_gradients_pass_the_grid_and_stop_where_it_clips() -> None:
    network, _, pixels = small("mini_xception", QatSettings())
    network.train()(torch.from_numpy(pixels)).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in network.parameters())
    network.zero_grad()
    network.ranges.copy_(torch.tensor([0.0, 1e-20]))
    network.eval()(torch.from_numpy(pixels)).square().sum().backward()
    assert not network.stem[0].conv.weight.grad.any()


def test_ranges_follow_the_batches_in_training_only() -> None:
    network, _, pixels = small("mini_xception", QatSettings(range_momentum=0.25))
    before = network.ranges.clone()
    network(torch.from_numpy(3 * pixels))
    assert torch.equal(network.ranges, before)
    network.train()(torch.from_numpy(3 * pixels))
    assert network.ranges[0] == pytest.approx(1.5 * before[0])


@pytest.fixture(scope="module")
def recipe(reader_weights: Bundle) -> Recipe:
    changes = [f"model.start={reader_weights.path}", "data.source=digits", "epochs=1", "augment.flip=false"]
    return load_recipe("qat", [*changes, "batch_size=256", "optim.lr=1e-6"])


@pytest.fixture(scope="module")
def trained(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return train_network(recipe, out=tmp_path_factory.mktemp("qat") / "run")


def test_a_stopped_run_ends_with_the_same_weights_and_ranges(recipe: Recipe, trained: Bundle, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train_network(recipe, out=tmp_path / "run", callbacks=[stop_at(3)])
    resumed = train_network(recipe, out=tmp_path / "run", resume=True)
    weights, others = (read_weights(bundle.main_file) for bundle in (trained, resumed))
    assert all(np.array_equal(weights[name], others[name]) for name in weights)
    assert trained_ranges(trained) == trained_ranges(resumed) is not None


def test_the_bundle_holds_float_weights_and_their_own_score(trained: Bundle, reader_weights: Bundle) -> None:
    assert (trained.model.precision, trained.model.form) == ("float32", "weights")
    assert trained.model.lineage[-1].parent == reader_weights.model.digest
    ((name, score),) = trained.model.metrics.items()
    with Engine.open(trained) as engine:
        assert evaluate(engine, digits("validation")).top1 == score.top1, name


def test_quantization_takes_the_trained_ranges_first(trained: Bundle, tmp_path: Path) -> None:
    images, held_out = digits("train"), digits("validation")
    _, result = quantize_bundle(trained, images, tmp_path / "q", validation=held_out, images=40, tolerance=0.03)
    known = trained_ranges(trained)
    assert known
    assert (result.chosen, result.passed) == ("trained", True)
    (row,) = [row for row in result.scales if row.tensor == "pixels"]
    low, high = known.ranges["pixels"]
    assert row.scales[0] == np.float32((high - low) / 255)


def test_other_grids_than_the_trained_ones_are_refused(trained: Bundle, reader_weights: Bundle, tmp_path: Path) -> None:
    images, held_out = digits("train"), digits("validation")
    with pytest.raises(UsageError, match="were trained for unsigned activations and kernels of 7 bits"):
        quantize_bundle(
            trained, images, tmp_path / "q", validation=held_out, method="trained", tuning=Tuning(is_signed=True)
        )
    with pytest.raises(UsageError, match="were not trained for int8"):
        quantize_bundle(reader_weights, images, tmp_path / "q", validation=held_out, method="trained")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("model.start=", "continues from a trained network"),
        ("average.decay=0.9", "leave out average"),
        ("compute.precision=bfloat16", r"leave out compute\.precision"),
        ("model.drop_rate=0.2", r"leave out model\.drop_rate"),
    ],
)
def test_what_cannot_be_combined_is_refused(change: str, reason: str, reader_weights: Bundle) -> None:
    start = [f"model.start={reader_weights.path}", "model.variant=mini_xception"]
    with pytest.raises(UsageError, match=reason):
        load_recipe("qat", [*start, change])
