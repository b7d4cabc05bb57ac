import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

from xception import machine


def cgroup(folder: Path, limit: str) -> Path:
    (folder / "cpu.max").write_text(limit, encoding="ascii")
    return folder


@pytest.mark.parametrize("limit", ["100000 100000\n", "50000 100000\n"])
def test_a_containers_quota_limits_the_cores(tmp_path: Path, limit: str) -> None:
    assert machine.cores(cgroup(tmp_path, limit)) == 1


@pytest.mark.parametrize("limit", ["max 100000\n", "9000000 100000\n", "nonsense", "1 0", ""])
def test_without_a_lower_quota_all_cores_of_the_process_count(tmp_path: Path, limit: str) -> None:
    assert machine.cores(cgroup(tmp_path, limit)) == machine.cores(tmp_path / "none")


def test_cores_that_the_process_may_not_run_on_do_not_count(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5, 8}, raising=False)
    assert machine.cores(tmp_path) == 3


def test_the_processor_has_a_name(tmp_path: Path) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text("processor : 0\nmodel name\t: Fast One\n", encoding="utf-8")
    assert machine.cpu_name(file) == "Fast One"
    assert machine.cpu_name(tmp_path / "none")


def test_a_fingerprint_names_processor_system_and_versions() -> None:
    facts = machine.fingerprint("numpy")
    assert facts["numpy"] == version("numpy")
    assert facts["python"] == platform.python_version()
    assert facts["cores"] == machine.cores()
    with pytest.raises(PackageNotFoundError):
        machine.fingerprint("no-such-package")


STATUS = "Name:\tx\nVmPeak:\t  999 kB\nVmHWM:\t  1234 kB\nVmRSS:\t 12 kB\n"


def test_the_peak_of_a_process_is_the_kernels_record_of_it(tmp_path: Path) -> None:
    (tmp_path / "17").mkdir()
    (tmp_path / "17" / "status").write_text(STATUS)
    assert machine.peak_memory_bytes(17, tmp_path) == 1234 * 1024
    (tmp_path / "17" / "status").write_text("Name:\tzombie\n")
    assert machine.peak_memory_bytes(17, tmp_path) is None
    assert machine.peak_memory_bytes(18, tmp_path) is None


def test_a_peak_only_grows_and_is_known_without_the_record(tmp_path: Path) -> None:
    before = machine.peak_memory_bytes()
    held = bytearray(64 << 20)
    held[:: 4 << 10] = b"1" * len(held[:: 4 << 10])
    after = machine.peak_memory_bytes()
    assert before
    assert after
    assert after >= max(before, len(held))
    assert (machine.peak_memory_bytes(proc=tmp_path) or 0) >= len(held)
