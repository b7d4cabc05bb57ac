from pathlib import Path

import pytest

from xception.errors import EnvironmentFault
from xception.quantize.processor import Processor, check_weight_bits, processor


def described(tmp_path: Path, flags: str) -> Processor:
    (tmp_path / "cpuinfo").write_text(f"model name\t: A\nflags\t\t: fpu {flags}\n")
    return processor(tmp_path / "cpuinfo")


@pytest.mark.parametrize(
    ("flags", "exact"),
    [("avx2", False), ("avx2 avx512bw", False), ("avx2 avx_vnni", True), ("amx_int8 avx2", True), ("sse2", True)],
)
def test_products_are_exact_where_they_are_added_in_32_bits(tmp_path: Path, flags: str, exact: bool) -> None:
    assert described(tmp_path, flags).is_exact is exact


def test_an_arm_processor_has_features(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("Features\t: fp asimd asimddp\n")
    assert processor(tmp_path / "cpuinfo").instructions == ("asimddp",)


def test_a_system_that_does_not_tell_is_not_guessed_at(tmp_path: Path) -> None:
    unknown = processor(tmp_path / "missing")
    assert (unknown.instructions, unknown.is_exact) == (None, None)
    check_weight_bits(8, unknown)


def test_eight_bits_are_refused_where_they_saturate(tmp_path: Path) -> None:
    old = described(tmp_path, "avx2")
    check_weight_bits(7, old)
    with pytest.raises(EnvironmentFault, match="take 7-bit weights"):
        check_weight_bits(8, old)
