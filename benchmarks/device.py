"""The GPU that a script measures, or the reason why there is none."""

import sys
from typing import Any

import torch

from xception.machine import fingerprint


def name() -> str:
    """For torch: `cuda` or `cpu`."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def need_gpu(*, smoke: bool) -> None:
    """End the program where there is none, unless the script is only tried."""
    if not (torch.cuda.is_available() or smoke):
        sys.exit("no GPU here; expected one that torch can use, or --smoke to try the script without")


def wait() -> None:
    """Until all that was asked of the device is done."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def environment(*packages: str) -> dict[str, Any]:
    """The device, and the machine with the versions of torch and other `packages`."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    return {"gpu": gpu, "cuda": torch.version.cuda, **fingerprint("torch", *packages)}
