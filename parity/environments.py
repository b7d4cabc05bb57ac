"""One virtual environment per source, since the sources' requirements contradict each other."""

import subprocess
import sys
from pathlib import Path

REQUIREMENTS = Path(__file__).parent / "environments"


def python_of(name: str, folder: Path) -> Path:
    """The interpreter of environment `name` under `folder`; made first if it is not there or its requirements changed.

    Raises:
        subprocess.CalledProcessError: the packages cannot be installed.
    """
    environment = folder / name
    python = environment / "bin" / "python"
    requirements = REQUIREMENTS / f"{name}.txt"
    installed = environment / "installed.txt"
    if installed.exists() and installed.read_text() == requirements.read_text():
        return python
    subprocess.run([sys.executable, "-m", "venv", "--clear", environment], check=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--requirement", requirements], check=True)
    installed.write_text(requirements.read_text())
    return python
