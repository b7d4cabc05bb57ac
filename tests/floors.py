"""The versions of `constraints.txt`, but for packages with a hole in older versions: those at the oldest allowed.

`make test-floors` installs them in an environment of its own and runs the tests of what comes from outside there.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

REQUIREMENT = re.compile(r'"(?P<name>[\w.-]+)(?:\[\w+\])?>=(?P<version>[\w.]+)[^"]*"(?P<reason>[\],]*[ ]*#)?')
"""A requirement with a lower bound, and the beginning of the reason beside it."""


def floors(pyproject: str, constraints: str) -> list[str]:
    """Versions of the required packages: the tested ones, or the oldest allowed where that has a reason.

    Packages that only others require are left out, since the tested ones need not go with an older version.
    """
    tested = {plain_name(name): version for name, _, version in (line.partition("==") for line in constraints.split())}
    found = {plain_name(match["name"]): match for match in REQUIREMENT.finditer(pyproject)}
    versions = {name: match["version"] if match["reason"] else tested.get(name) for name, match in found.items()}
    return [f"{name}=={version}" for name, version in sorted(versions.items()) if version]


def plain_name(name: str) -> str:
    """A package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    texts = ((ROOT / name).read_text("utf-8") for name in ("pyproject.toml", "constraints.txt"))
    sys.stdout.write("\n".join(floors(*texts)) + "\n")
