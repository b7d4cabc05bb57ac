"""Inference with torch, straight from a bundle's weights."""

import torch

from xception.backends.base import Logits, Pixels, Session
from xception.bundle import Bundle
from xception.models.network import Xception, build
from xception.weights import read_weights


class TorchSession:
    """The network in evaluation mode on the CPU, or on the GPU where there is one."""

    name = "torch"
    batch_size = None

    def __init__(self, network: Xception, height_width: tuple[int | None, int | None]) -> None:
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.network = network.eval().to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.input_shape = (network.spec.in_channels, *height_width)
        self.num_classes = network.spec.num_classes

    @torch.inference_mode()
    def __call__(self, pixels: Pixels, /) -> Logits:
        batch = torch.from_numpy(pixels).to(self.device, memory_format=torch.channels_last)
        return self.network(batch).float().cpu().numpy()  # type: ignore[no-any-return]

    def close(self) -> None:
        del self.network


def open_session(bundle: Bundle, threads: int | None = None) -> Session:
    """The bundle's network as a torch module; `threads` is torch's setting for the whole process.

    Raises:
        InputError: the weights do not fit the network.
    """
    if threads:
        torch.set_num_threads(threads)
    network = build(bundle.model.network.architecture(), read_weights(bundle.main_file))
    return TorchSession(network, bundle.model.preprocess.output_px or (None, None))
