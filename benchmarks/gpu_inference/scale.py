"""The network that `benchmarks.gpu` measures, and its images."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch

from parity.ours import seeded_tensors
from xception.arch.spec import Architecture
from xception.arch.variants import architecture
from xception.backends.base import Compute, InferPrecision, Logits, empty_batch
from xception.backends.torch_compiled import CompiledSession
from xception.models.network import Xception, build
from xception.preprocess import CenterCrop, Preprocess, ShorterSide

VARIANT = "timm_xception"
TOLERANCES = {"float32": 1e-4, "tf32": 0.02, "float16": 0.02, "bfloat16": 0.05}
"""Most that logits may differ from those in float32 on the CPU, in units of the largest: a few times what rounding
leaves over."""


@dataclass(frozen=True)
class Scale:
    """How much to measure, and on which device."""

    device: str
    width: float
    classes: int
    px: int
    batches: tuple[int, ...]
    rounds: int
    round_s: float
    """A round repeats what is shorter than this, so that starting and waiting do not count."""
    matrix: int
    """Side of the matrices by which the device's rates are measured."""
    photos: int
    """JPEG files that are read from end to end."""

    @property
    def spec(self) -> Architecture:
        """The network."""
        return architecture(VARIANT, num_classes=self.classes, width=self.width)

    @property
    def preprocess(self) -> Preprocess:
        """That of the published weights."""
        crop = CenterCrop(width_px=self.px, height_px=self.px)
        return Preprocess(resize=ShorterSide(px=self.px * 333 // 299), crop=crop)

    def session(self, precision: InferPrecision = "bfloat16", instances: int = 2) -> CompiledSession:
        """The product's own session."""
        compute = Compute(device=self.device, precision=precision, instances=instances)
        return CompiledSession(self.network(), self.preprocess, (self.px, self.px), compute)

    def network(self) -> Xception:
        """The network with seeded weights, float32 on the CPU."""
        return build(self.spec, drawn(self.spec)).eval()

    def images(self, count: int, seed: int = 0) -> np.ndarray:
        """Images (count, C, H, W) of coarse noise, no two alike."""
        rng = np.random.default_rng(seed)
        side = -(-self.px // 8)
        coarse = rng.integers(0, 256, (count, self.spec.in_channels, side, side), np.uint8)
        return coarse.repeat(8, 2).repeat(8, 3)[:, :, : self.px, : self.px]

    def truth(self, images: np.ndarray) -> Logits:
        """Their logits in float32 on the CPU."""
        with torch.inference_mode():
            logits: Logits = self.network()(torch.from_numpy(self.preprocess.normalize(images))).numpy()
        return logits

    def buffer(self, session: CompiledSession, count: int) -> np.ndarray:
        """As many images in the memory that a session takes fastest."""
        batch = empty_batch(session.facts, count, self.px, self.px)
        some = self.images(min(count, 8))
        for start in range(0, count, len(some)):
            batch[start : start + len(some)] = some[: count - start]
        return batch


drawn = cache(seeded_tensors)


@cache
def full() -> Scale:
    return Scale("cuda:0", 1.0, 1000, 299, (1, 256), 5, 0.2, 8192, 400)


@cache
def smoke() -> Scale:
    return Scale("cpu", 0.0625, 8, 64, (1, 4), 2, 0.0, 64, 6)


def difference(logits: np.ndarray, truth: np.ndarray) -> float:
    """The largest difference of logits, in units of the largest."""
    return float(np.abs(logits - truth).max() / np.abs(truth).max())
