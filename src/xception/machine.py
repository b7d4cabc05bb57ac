"""The machine underneath: how many cores this process may use, and what its figures depend on."""

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from xception import platforms

CGROUPS = Path("/sys/fs/cgroup")


def cores(cgroups: Path = CGROUPS) -> int:
    """Cores that this process may keep busy: those it may run on, and no more than a container's quota of time."""
    allowed = platforms.allowed_cores()
    return max(1, min(allowed, _quota(cgroups) or allowed))


def cpu_name(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The processor, as the system calls it."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def fingerprint(*packages: str) -> dict[str, str | int]:
    """The facts that measured figures depend on: processor, cores, system, versions of Python and of `packages`."""
    return {
        "cpu": cpu_name(),
        "cores": cores(),
        "system": platform.platform(),
        "python": platform.python_version(),
        **{package: version(package) for package in packages},
    }


def peak_memory_bytes(process: int | Literal["self"] = "self", proc: Path = Path("/proc")) -> int | None:
    """The most memory that a process held until now; None where the system does not tell.

    Linux' own record is asked first: what `getrusage` says begins with the peak of the process that started it.
    """
    try:
        status = (proc / str(process) / "status").read_text(encoding="ascii", errors="replace")
        return next(1024 * int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        return platforms.peak_memory_bytes_by_usage() if process == "self" else None


def peak_memory_bytes_of_all(process: int, proc: Path = Path("/proc")) -> int:
    """The most memory that a process and all that it started held, each at its own time; 0 where the system does not
    tell."""
    lists = [file.read_text(encoding="ascii") for file in (proc / str(process) / "task").glob("*/children")]
    started = {int(child) for text in lists for child in text.split()}
    return (peak_memory_bytes(process, proc) or 0) + sum(peak_memory_bytes_of_all(child, proc) for child in started)


def cache_folder() -> Path:
    """The folder for data that can be made again: `xception` in XDG_CACHE_HOME, by default ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "xception"


def _quota(cgroups: Path) -> int | None:
    """Whole cores' worth of time that the container may use a period, rounded up; None if there is no limit."""
    try:
        limit, period = (cgroups / "cpu.max").read_text(encoding="ascii").split()
        return None if limit == "max" else -(-int(limit) // int(period))
    except (OSError, ValueError, ZeroDivisionError):
        return None
