"""Processors' sums of eight-bit products, which decide how many bits a weight may have."""

import platform
from pathlib import Path
from typing import Literal

import msgspec

from xception.errors import EnvironmentFault

WeightBits = Literal[7, 8]

EXACT = ("amx_int8", "avx512_vnni", "avx_vnni", "asimddp", "i8mm")
"""Instructions that add products of eight-bit integers in 32 bits, as Linux names them."""

SATURATING = ("avx2", "avx512bw")
"""Without one of the former, these add pairs of products in 16 bits, where two large ones of one sign saturate."""


class Processor(msgspec.Struct, frozen=True, kw_only=True):
    """The processor's instructions that matter for int8; None where the system does not tell."""

    machine: str
    instructions: tuple[str, ...] | None

    @property
    def is_exact(self) -> bool | None:
        """Sums of products of eight-bit weights come out right; None if unknown."""
        if self.instructions is None:
            return None
        return any(name in EXACT for name in self.instructions) or "avx2" not in self.instructions


def processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> Processor:
    """This machine's."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
    except OSError:
        return Processor(machine=platform.machine(), instructions=None)
    flags = {flag for line in lines if line.lower().startswith(("flags", "features")) for flag in line.split()}
    return Processor(
        machine=platform.machine(), instructions=tuple(name for name in (*EXACT, *SATURATING) if name in flags)
    )


def check_weight_bits(weight_bits: int, here: Processor) -> None:
    """Refuse weights of eight bits where their accuracy cannot be measured rightly.

    Raises:
        EnvironmentFault: the processor saturates.
    """
    if weight_bits == 8 and here.is_exact is False:
        raise EnvironmentFault(
            "this processor has AVX2 but neither VNNI nor AMX: sums of eight-bit products saturate, and what is "
            "measured here does not hold elsewhere; take 7-bit weights, or quantize on another machine"
        )
