"""Errors that are raised on purpose, each with its exit code.

    XceptionError              exit code 3, unless a subclass says otherwise
    ├── UsageError             2: the request cannot be meant
    │   ├── UnknownName        2: no such variant, weights entry, format, recipe key, ...
    │   └── AmbiguousName      2: the name fits more than one thing
    ├── CheckFailed            1: the work was done and its result is not good enough
    ├── InputError             3: a file or folder is missing, corrupt, hostile or unfit
    │   └── DecodeError        3: one image could not be read (counted, never fatal to a run)
    │       ├── TooManyPixels  3: it is larger than what is decoded
    │       └── UnknownKind    3: a sound image of a kind that nothing here decodes
    └── EnvironmentFault       3: this machine lacks something
        └── MissingExtra       3: an optional dependency is not installed

Any other exception that reaches the command line is an unforeseen error, with the exit code 4.

A message is one sentence that says what failed, what was expected, what came and what to do next.
"""

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType

from xception.invocation import pip
from xception.platforms import shell_line

NONE: Mapping[str, str] = MappingProxyType({})
"""No names of other tools."""

CHECKOUT = Path(__file__).parents[2]
"""Root of the clone that this package is run from, if it is run from one."""


def install_command(*extras: str) -> str:
    """The command that installs groups of optional dependencies: into a clone's own environment, or package by package,
    since this package may not be on an index."""
    if (CHECKOUT / "pyproject.toml").is_file():
        place = "." if Path.cwd() == CHECKOUT else CHECKOUT
        return shell_line([*pip(), "install", "-e", f"{place}[{','.join(sorted(set(extras)))}]"])
    return shell_line([*pip(), "install", *requirements(*extras)])


def requirements(*extras: str) -> tuple[str, ...]:
    """Requirements of groups of optional dependencies by the installed package's metadata; the groups by their names
    where it has none."""
    # The command line starts without it.
    from importlib import metadata

    try:
        lines = metadata.requires(__package__) or []
    except metadata.PackageNotFoundError:
        lines = []
    found: dict[str, None] = {}
    waiting = sorted(set(extras))
    for extra in waiting:
        for line in lines:
            stated, _, marker = line.partition(";")
            if not re.search(rf"""\bextra\s*==\s*['"]{extra}['"]""", marker):
                continue
            others = re.fullmatch(rf"{__package__}\[(.*)\]", stated.strip())
            if others:
                waiting += [name for name in others[1].split(",") if name not in waiting]
            else:
                found[_for_all_machines(stated, marker)] = None
    return tuple(sorted(found)) or tuple(waiting)


def _for_all_machines(stated: str, marker: str) -> str:
    """A requirement with its conditions, but for the group that it belongs to."""
    rest = re.sub(r"""\s*(\band\s+)?\bextra\s*==\s*['"][\w-]+['"]\s*""", "", marker).strip()
    rest = rest.removeprefix("(").removesuffix(")").replace("'", '"')
    return f"{stated.strip()}; {rest}" if rest else stated.strip()


def first_line(error: BaseException) -> str:
    """The message of another package's error as far as its first line, since some go on with their whole state."""
    lines = str(error).strip().splitlines()
    return lines[0].strip() if lines else type(error).__name__


class XceptionError(Exception):
    """Base of all errors that this package raises on purpose; `exit_code` is the command line's exit status."""

    exit_code = 3


class UsageError(XceptionError):
    """The request contradicts itself, or does not fit what it is applied to."""

    exit_code = 2


class UnknownName(UsageError):
    """A name that is in no table; the nearest known names are suggested, never substituted."""

    def __init__(self, kind: str, name: str, known: Iterable[str], elsewhere: Mapping[str, str] = NONE) -> None:
        """Say what was meant, if it can be told.

        Args:
            kind: the kind of thing that has such names.
            name: the name that is none, in capitals or not.
            known: all names.
            elsewhere: names of the same things in other tools.
        """
        choices, folded = sorted(known), name.lower()
        meant = {choice.lower(): choice for choice in choices}
        exact = elsewhere.get(folded) or meant.get(folded)
        near = [exact] if exact else [meant[one] for one in get_close_matches(folded, meant, n=3, cutoff=0.5)]
        hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(choices)}"
        super().__init__(f"unknown {kind} {name!r}; {hint}")
        self.name = name


class AmbiguousName(UsageError):
    """A name that several things share, with the full names to choose from."""

    def __init__(self, kind: str, name: str, candidates: Iterable[str]) -> None:
        self.candidates = tuple(sorted(candidates))
        super().__init__(
            f"the {kind} name {name!r} is ambiguous: more than one has it; choose one of {', '.join(self.candidates)}"
        )


class CheckFailed(XceptionError):
    """A gate or comparison ran to its end and its verdict is no."""

    exit_code = 1


class InputError(XceptionError):
    """A file, folder or stream that cannot be used."""


class DecodeError(InputError):
    """One image that cannot be turned into pixels."""


class TooManyPixels(DecodeError):
    """An image that has more pixels than are decoded."""


class UnknownKind(DecodeError):
    """An image of a kind that has no way to 8-bit pixels here, or whose package is not installed."""


class EnvironmentFault(XceptionError):
    """The machine lacks something: a package, room on the disk, a permission."""


class MissingExtra(EnvironmentFault):
    """Optional dependencies are not installed; one command installs all that the request needs."""

    def __init__(self, missing: Mapping[str, str]) -> None:
        """Say what is missing.

        Args:
            missing: for each package that is not installed the group of optional dependencies that installs it.
        """
        names = " and ".join(map(repr, sorted(missing)))
        words = f"package {names}, which is" if len(missing) == 1 else f"packages {names}, which are"
        self.extras = tuple(sorted(set(missing.values())))
        super().__init__(f"this needs the Python {words} not installed; run: {install_command(*self.extras)}")
