"""The package's own source, for the tests that hold it to its rules."""

from pathlib import Path

import xception

ROOT = Path(xception.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = [module_name(path) for path in FILES if path.name != "__main__.py"]
