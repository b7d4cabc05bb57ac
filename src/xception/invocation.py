"""The words that start this program, and pip of its environment, in the shell that it was started from.

Who calls a program by its path has not activated its environment: a proposed command has to begin with that path, too.
"""

import os
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

PROGRAM_NAME = "xception"


def own_program() -> tuple[str, ...]:
    """The beginning of a command of this program: its name where the shell finds it, else as it was called."""
    called = Path(sys.argv[0])
    if called.stem == PROGRAM_NAME:
        return (PROGRAM_NAME,) if _is_found(PROGRAM_NAME, called) else (sys.argv[0],)
    is_module = (called.parent.name, called.name) == (PROGRAM_NAME, "__main__.py")
    return (*python(), "-m", PROGRAM_NAME) if is_module else (PROGRAM_NAME,)


def python() -> tuple[str, ...]:
    """The beginning of a command of this interpreter: its name where the shell finds it, else its path."""
    here = Path(sys.executable)
    name = next((name for name in ("python", "python3", here.name) if _is_found(name, here)), None)
    return (name or _from_here(here),)


def pip() -> tuple[str, ...]:
    """The beginning of a command that installs packages into this environment, by uv if it has no pip."""
    if find_spec("pip") is None and shutil.which("uv"):
        return "uv", "pip", "--python", *python()
    return ("pip",) if _is_of_this_environment("pip") else (*python(), "-m", "pip")


def _is_found(name: str, file: Path) -> bool:
    """Tell whether the shell, asked for a name, starts this file."""
    found = shutil.which(name)
    return found is not None and _absolute(found) == _absolute(file)


def _is_of_this_environment(name: str) -> bool:
    found = shutil.which(name)
    return found is not None and _absolute(found).parent == _absolute(sys.executable).parent


def _absolute(path: str | Path) -> Path:
    """The path without `..` in it. Links stay: the interpreters of all environments lead to one file."""
    return Path(os.path.abspath(path))  # noqa: PTH100  # resolve() follows links


def _from_here(path: Path) -> str:
    """A path as it is typed in the folder where the program runs."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
