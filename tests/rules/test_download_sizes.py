"""The sizes of downloads that the Makefile and the README state, against what is installed here.

A wheel's size is not known once it is installed. All of one set, torch apart, have 0.31 of the size of their files;
both sets that are stated were measured so, with the wheels' sizes on the index.
"""

import re
from importlib import metadata

import pytest
from packaging.requirements import Requirement

from tests.support.pages import ROOT

TORCH_MB = 192
"""Download of torch for CPUs. Where it came with CUDA, it and its libraries are left out."""

PACKED = 0.31
CUDA = re.compile("torch|nvidia-.*|cuda-.*")


def closure(extra: str) -> set[str]:
    """The names of all packages that the package needs with an extra, as they are installed here."""
    found: set[tuple[str, str]] = set()
    waiting = [("xception", extra), ("xception", "")]
    while waiting:
        name, of_extra = one = waiting.pop()
        if one in found:
            continue
        found.add(one)
        for requirement in map(Requirement, metadata.requires(name) or ()):
            if requirement.marker is None or requirement.marker.evaluate({"extra": of_extra}):
                waiting += [(requirement.name, needed) for needed in ("", *requirement.extras)]
    return {re.sub("[-_.]+", "-", name).lower() for name, _ in found} - {"xception"}


def size_mb(name: str) -> float:
    """Size of the files of an installed package, without those that Python compiles."""
    return sum(file.size or 0 for file in metadata.distribution(name).files or ()) / 1e6


@pytest.mark.parametrize("extra", ["demo", "dev"])
def test_the_download_that_is_stated_fits_what_is_installed(extra: str) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    recipe = next(part for part in makefile.split("\n\n") if f"'.[{extra}]'" in part)
    stated = re.search(r"downloads about (\d+) MB", recipe)
    assert stated is not None
    others = sum(size_mb(name) for name in closure(extra) if not CUDA.fullmatch(name))
    assert int(stated[1]) == pytest.approx(TORCH_MB + PACKED * others, rel=0.1)
    assert f"about {stated[1]} MB" in (ROOT / "README.md").read_text(encoding="utf-8")
