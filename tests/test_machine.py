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
