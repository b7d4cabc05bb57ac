"""timm: its network in torch, and the path of its `validate.py`, in the environment `timm.txt` of parity/."""

from argparse import Namespace
from pathlib import Path

import numpy as np
import torch

from benchmarks.contenders.serve import serve
from parity.command import fill
from parity.torch_network import TorchNetwork
from parity.upstreams.timm import build

DEFAULTS = {"batch_size": 256, "num_workers": 4, "use_prefetcher": True}
"""Of `validate.py`."""


class Timm:
    """Options: `channels_last`, `bfloat16` (the whole network), `compiled`, and `autocast`, as `validate.py --amp`."""

    packages = ("timm", "torch", "torchvision", "pillow")

    def __init__(self, arguments: Namespace) -> None:
        network = build(Namespace(variant=arguments.variant, output_stride=32, dtype="float32"))
        fill(network)
        if not isinstance(network, TorchNetwork):
            raise TypeError(f"expected a torch network, got {type(network).__name__}")
        self.options = arguments.options
        self.dtype = torch.bfloat16 if "bfloat16" in self.options else torch.float32
        self.layout = torch.channels_last if "channels_last" in self.options else torch.contiguous_format
        laid_out = network.module.to(self.dtype, memory_format=self.layout)  # type: ignore[call-overload]
        self.model = laid_out.eval()
        # With `dynamic=False` each batch size gets code of its own, which is the fastest.
        self.forward = torch.compile(self.model, dynamic=False) if "compiled" in self.options else self.model

    @torch.inference_mode()
    def logits(self, pixels: np.ndarray) -> np.ndarray:
        return self._run(self._tensor(pixels)).float().numpy()

    @torch.inference_mode()
    def infer(self, pixels: np.ndarray, count: int) -> None:
        batch = self._tensor(pixels)
        for _ in range(count):
            self._run(batch)

    @torch.inference_mode()
    def end_to_end(self, photos: Path, batch: int) -> int:
        """What `validate.py` does between building the network and printing, without its warm-up batch."""
        from timm.data import create_dataset, create_loader, resolve_data_config
        from timm.utils import AverageMeter, accuracy

        config = resolve_data_config({}, model=self.model, use_test_size=True)
        dataset = create_dataset(root=str(photos), name="", split="validation", input_img_mode="RGB")
        loader = create_loader(
            dataset,
            input_size=config["input_size"],
            interpolation=config["interpolation"],
            mean=config["mean"],
            std=config["std"],
            crop_pct=config["crop_pct"],
            crop_mode=config["crop_mode"],
            pin_memory=False,
            device=torch.device("cpu"),
            **{**DEFAULTS, "batch_size": batch},
        )
        criterion = torch.nn.CrossEntropyLoss()
        losses, top1 = AverageMeter(), AverageMeter()
        for pixels, target in loader:
            output = self._run(pixels.contiguous(memory_format=self.layout))
            losses.update(criterion(output, target).item(), len(pixels))
            top1.update(accuracy(output, target, topk=(1, 5))[0].item(), len(pixels))
        return int(top1.count)

    def _tensor(self, pixels: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(pixels).to(self.dtype).contiguous(memory_format=self.layout)

    def _run(self, batch: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled="autocast" in self.options):
            return self.forward(batch)


if __name__ == "__main__":
    serve(Timm)
