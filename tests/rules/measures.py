"""Measures of the source as a house: `python -m tests.rules.measures` prints them."""

import ast
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from statistics import median, quantiles

from tests.rules.source import FILES, ROOT, module_name

FRAGMENT = re.compile(r"(What|Of|How|Whether|Where|By|Which|That|Those|So|As|With|From|If)\b")
"""First word of a docstring that answers a question which the reader has not heard."""

OLD_BOUNDS = re.compile(r"_?(MOST|LEAST|LARGEST|SMALLEST|LONGEST|SHORTEST)(_|\b)")

SCRIPTS = {ROOT / "export" / "packs" / "verify.py", ROOT / "upstream" / "logits.py", ROOT / "upstream" / "mindir.py"}
"""Files that run elsewhere, without the package, and therefore repeat what they need of it."""

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def docstrings(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """All docstrings with their lines, those of attributes and constants included."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        for statement in body if isinstance(body, list) else []:
            value = getattr(statement, "value", None) if isinstance(statement, ast.Expr) else None
            if isinstance(value, ast.Constant) and isinstance(value.value, str) and value.value.strip():
                yield statement.lineno, value.value.strip()


def fragments(tree: ast.AST) -> list[str]:
    return [f"{line}: {text.splitlines()[0]}" for line, text in docstrings(tree) if FRAGMENT.match(text)]


def public_names(tree: ast.Module) -> Iterator[str]:
    """Functions, classes and constants that a module defines for others."""
    for node in tree.body:
        if isinstance(node, Definition):
            yield node.name
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        yield from (target.id for target in targets if isinstance(target, ast.Name))


def repeated_names() -> dict[str, list[str]]:
    """Public names that several modules define, with these modules; scripts that import nothing of it aside."""
    homes: dict[str, list[str]] = defaultdict(list)
    for path in set(FILES) - SCRIPTS:
        for name in set(public_names(tree_of(path))):
            if not name.startswith("_") and name not in ("T", "R", "K", "P"):
                homes[name].append(path.relative_to(ROOT).as_posix())
    return {name: places for name, places in sorted(homes.items()) if len(places) > 1}


def old_bounds(tree: ast.Module) -> list[str]:
    return [name for name in public_names(tree) if OLD_BOUNDS.match(name)]


def function_lengths() -> list[int]:
    nodes = (node for path in FILES for node in ast.walk(tree_of(path)))
    return [
        (node.end_lineno or 0) - node.lineno + 1
        for node in nodes
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def top_module(module: str) -> str:
    """The subpackage or module of the package that a module belongs to."""
    return ".".join(module.split(".")[1:2])


def dependencies() -> Counter[tuple[str, str]]:
    """The number of imports from one top module to another."""
    found: Counter[tuple[str, str]] = Counter()
    for path in FILES:
        here = top_module(module_name(path))
        for node in ast.walk(tree_of(path)):
            module = getattr(node, "module", None) if isinstance(node, ast.ImportFrom) else None
            if module and module.startswith("xception.") and top_module(module) != here:
                found[here, top_module(module)] += 1
    return found


def report() -> str:
    lengths, lines = function_lengths(), [len(path.read_text(encoding="utf-8").splitlines()) for path in FILES]
    texts = [text for path in FILES for _, text in docstrings(tree_of(path))]
    top_modules = {top_module(module_name(path)) for path in FILES} - {""}
    rows = {
        "files": len(FILES),
        "lines": sum(lines),
        "file median, largest": f"{median(lines):.0f}, {max(lines)}",
        "functions": len(lengths),
        "function median, 95 %, largest": f"{median(lengths):.0f}, {quantiles(lengths, n=20)[-1]:.0f}, {max(lengths)}",
        "docstrings": len(texts),
        "docstrings that are fragments": sum(bool(FRAGMENT.match(text)) for text in texts),
        "public names in several modules": len(repeated_names()),
        "bounds called MOST, LEAST, ...": sum(len(old_bounds(tree_of(path))) for path in FILES),
        "top modules": len(top_modules),
        "imports between them": len(dependencies()),
    }
    width = max(map(len, rows))
    return "\n".join(f"{name.ljust(width)}  {value}" for name, value in rows.items())


if __name__ == "__main__":
    sys.stdout.write(report() + "\n")
