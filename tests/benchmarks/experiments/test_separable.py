import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.experiments.separable import Depthwise, with_own_kernels
from tests.support.samples import HANG_S, drawn_tensors
from xception.arch.variants import architecture
from xception.models.folded import with_folded_norms
from xception.models.network import Xception, build

ROOT = Path(__file__).parents[3]


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


def network(variant: str = "timm_xception") -> Xception:
    spec = architecture(variant, num_classes=5, width=0.125)
    return with_folded_norms(build(spec, drawn_tensors(spec)))


@pytest.mark.parametrize("variant", ["timm_xception", "timm_xception65p", "keras_xception"])
def test_the_network_computes_the_same_with_the_operators(variant: str) -> None:
    usual = network(variant)
    own = with_own_kernels(usual, "small")
    assert sum(isinstance(module, Depthwise) for module in own.modules()) > 5
    images = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 3, 64, 64)).astype(np.float32))
    images = images.contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        truth = usual(images)
        assert float((own(images) - truth).abs().max() / truth.abs().max()) < 1e-5


@pytest.mark.slow
def test_the_depthwise_kernel_computes_what_torch_computes() -> None:
    differences = json.loads(output("separable_cases", TRITON_INTERPRET="1"))
    assert len(differences) == 6
    assert max(differences.values()) < 1e-5


@pytest.mark.slow
def test_the_depthwise_kernel_compiles_for_a_gpu_and_reads_16_bytes_at_once() -> None:
    found = json.loads(output("separable_compiled"))
    assert all(tile["cubin"] > 1000 and tile["wide loads"] >= 3 for tile in found.values())
