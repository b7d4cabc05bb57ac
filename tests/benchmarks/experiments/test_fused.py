import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from benchmarks.experiments import fused as module
from benchmarks.experiments.fused import agrees, elapsed, fused
from benchmarks.experiments.fused_kernel import launch
from tests.support.samples import HANG_S
from xception.arch.variants import architecture
from xception.errors import MissingExtra
from xception.models.layers import SeparableConv2d
from xception.models.network import Xception, build

ROOT = Path(__file__).parents[3]
ROUNDING = {"torch.float32": 1e-6, "torch.float16": 2e-3, "torch.bfloat16": 2e-2}


def output(script: str, **settings: str) -> str:
    path = f"{ROOT}{os.pathsep}{ROOT / 'src'}"
    result = subprocess.run(
        [sys.executable, "-m", f"tests.benchmarks.experiments.{script}"],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path, **settings},
        capture_output=True,
        text=True,
        timeout=HANG_S,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def interpreted() -> dict[str, dict[str, float]]:
    return dict(json.loads(output("fused_cases", TRITON_INTERPRET="1")))


@pytest.mark.slow
def test_the_kernel_compiles_for_a_gpu(tmp_path: Path) -> None:
    assert int(output("fused_compiled", TRITON_CACHE_DIR=str(tmp_path))) > 1000


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ROUNDING)
def test_the_kernel_computes_what_the_two_convolutions_compute(
    interpreted: dict[str, dict[str, float]], dtype: str
) -> None:
    differences = interpreted[dtype]
    assert len(differences) >= 4
    assert {case: value for case, value in differences.items() if not value <= ROUNDING[dtype]} == {}


@pytest.mark.slow
def test_a_network_of_kernels_gives_the_same_logits(interpreted: dict[str, dict[str, float]]) -> None:
    assert interpreted["network"]["layers"] == 8
    assert 0 < interpreted["network"]["difference"] < 1e-5


def test_where_triton_is_missing_the_message_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "triton", None)
    with pytest.raises(MissingExtra, match="triton"):
        launch((1, 1))


@pytest.fixture(scope="module")
def network() -> Xception:
    torch.manual_seed(0)
    return build(architecture("tiny_xception", width=0.25)).eval()


@pytest.fixture
def pixels(network: Xception) -> Tensor:
    return torch.randn(1, network.spec.in_channels, 32, 32)


class Stand(nn.Module):
    """In a kernel's place: the layer itself, its result multiplied."""

    factor = 1.0

    def __init__(self, unit: SeparableConv2d, tile: object) -> None:
        super().__init__()
        self.run = unit.forward

    def forward(self, x: Tensor) -> Tensor:
        return self.run(x) * self.factor


def stand(factor: float) -> type[Stand]:
    return type("Stand", (Stand,), {"factor": factor})


def kernels(network: Xception) -> int:
    return sum(isinstance(layer, Stand) for layer in network.modules())


def timer(*seconds: float) -> Callable[[Callable[[], object]], float]:
    """Gives these times in turn, again and again."""
    times: Iterator[float] = (value for _ in range(100) for value in seconds)
    return lambda call: next(times)


@pytest.mark.parametrize(("seconds", "expected"), [((2.0, 1.0), 8), ((1.0, 2.0), 0), ((1.0, 1.0), 0)])
def test_a_kernel_is_used_only_where_it_is_faster(
    network: Xception, pixels: Tensor, seconds: Any, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FusedSeparableConv2d", stand(1.0))
    chosen = fused(network, pixels, tiles=module.TILES[:1], seconds=timer(*seconds))
    assert kernels(chosen) == expected
    assert kernels(network) == 0
    with torch.inference_mode():
        assert torch.equal(chosen(pixels), network(pixels))


@pytest.mark.parametrize("factor", [1.01, float("nan")])
def test_a_fast_kernel_with_another_result_is_not_used(
    network: Xception, pixels: Tensor, factor: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FusedSeparableConv2d", stand(factor))
    assert kernels(fused(network, pixels, seconds=timer(2.0, 1.0))) == 0


def test_a_kernel_that_the_device_refuses_is_not_used(
    network: Xception, pixels: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Stand, x: Tensor) -> Tensor:
        raise RuntimeError("out of resource: shared memory")

    monkeypatch.setattr(module, "FusedSeparableConv2d", type("Stand", (Stand,), {"forward": refuse}))
    assert kernels(fused(network, pixels, seconds=timer(2.0, 1.0))) == 0


def test_convolutions_in_the_other_order_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FusedSeparableConv2d", stand(1.0))
    network = build(architecture("ppcls_xception41", num_classes=2, width=0.03125)).eval()
    assert kernels(fused(network, torch.randn(1, 3, 33, 33), seconds=timer(2.0, 1.0))) == 0


def test_agreement_is_measured_in_units_of_the_largest_number() -> None:
    expected = torch.tensor([1000.0, 0.0])
    assert agrees(expected + 1, expected)
    assert not agrees(expected + 10, expected)


def test_a_call_is_timed_as_often_as_stated_after_a_first_one() -> None:
    calls = []
    assert elapsed(lambda: calls.append(1), torch.device("cpu")) >= 0
    assert len(calls) == 1 + module.ROUNDS
