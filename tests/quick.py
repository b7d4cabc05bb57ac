"""Name the tests of what was changed since `main`, for `make quick`: `python -m tests.quick`.

A module's are those of its name, a page's those that run its commands, a fixture's those of its folder, and any other
file's those that import it. A changed test is its own, and the rules that hold for all code come always.
"""

import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from tests.rules.namesakes import TESTS, namesakes

ROOT = TESTS.parent
ALWAYS = "tests/rules"
OF_PAGES = ("tests/pages", "tests/cli/test_pages.py", "tests/cli/test_storage_pages.py")


def tests_of(path: str) -> Iterator[str]:
    """The tests that a changed file concerns; some of them may not exist."""
    file = PurePosixPath(path)
    if file.suffix == ".md":
        yield from OF_PAGES
    elif file.parts[0] == "src":
        yield from (f"tests/{place}" for place in namesakes(ROOT / path))
    elif file.name.startswith("test_"):
        yield path
    elif file.name == "conftest.py":
        yield file.parent.as_posix()
    elif file.suffix == ".py":
        yield from importers(file)


def importers(file: PurePosixPath) -> Iterator[str]:
    """The tests that name a module in an import."""
    named = re.compile(rf"from {'.'.join(file.parent.parts)}(\.{file.stem}\b| import .*\b{file.stem}\b)")
    for test in TESTS.rglob("test_*.py"):
        if named.search(test.read_text(encoding="utf-8")):
            yield test.relative_to(ROOT).as_posix()


def selected(changed: Iterable[str]) -> list[str]:
    """The arguments for pytest."""
    found = {place for path in changed for place in tests_of(path)}
    others = (place for place in found if (ROOT / place).exists() and not place.startswith(f"{ALWAYS}/"))
    return sorted({ALWAYS, *others})


def changed_files(checkout: Path = ROOT) -> list[str]:
    """What differs from where this branch left `main`, committed or not."""

    def git(*arguments: str) -> list[str]:
        result = subprocess.run(["git", *arguments], cwd=checkout, capture_output=True, text=True, check=True)
        return result.stdout.splitlines()

    (base,) = git("merge-base", "HEAD", "main")
    return [*git("diff", "--name-only", base), *git("ls-files", "--others", "--exclude-standard")]


if __name__ == "__main__":
    sys.stdout.write(" ".join(selected(changed_files())) + "\n")
