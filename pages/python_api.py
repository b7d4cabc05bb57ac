"""The page on the Python API: the public names by what they are for, each with the directive that MkDocs renders."""

from collections.abc import Iterator, Mapping
from inspect import cleandoc
from pathlib import Path

import xception
from pages.markdown import ROOT, markdown_table

PAGE = ROOT / "docs/reference/python.md"
HEAD = """# Python

`import xception` offers these names; a name loads the packages that it needs when it is first used.
The site that `make docs` builds shows their arguments, types and errors, as `help(xception.load)` does in Python.

"""
GROUPS: Mapping[str, tuple[str, ...]] = {
    "Use a model": ("load", "ImageClassifier", "Predictions", "Prediction", "Failure", "Engine", "Compute", "predict"),
    "Evaluate, compare and measure": (
        "evaluate",
        "Evaluation",
        "compare",
        "Comparison",
        "benchmark",
        "Benchmark",
        "result_page",
        "ResultPage",
        "Chart",
    ),
    "Convert, train, export and quantize": (
        "convert_checkpoint",
        "Conversion",
        "adopt",
        "Adoption",
        "GraphStatements",
        "load_recipe",
        "Recipe",
        "train_network",
        "read_history",
        "History",
        "export_bundle",
        "GraphOptions",
        "quantize_bundle",
        "Quantization",
    ),
    "Networks and bundles": (
        "VARIANTS",
        "architecture",
        "build",
        "open_bundle",
        "Bundle",
        "sign_bundle",
        "verify_signature",
        "Labels",
        "Preprocess",
    ),
    "Data": ("open_source", "image_files", "in_memory", "Source", "Item"),
    "Errors": ("XceptionError", "UsageError"),
}
"""Headings with the names below them; a test holds that each public name is below one."""


def generated() -> Mapping[Path, str]:
    """The page with today's names."""
    return {PAGE: HEAD + "\n".join(map(section, GROUPS))}


def section(group: str) -> str:
    """A heading, a table of its names, and a directive for each."""
    rows = [(f"`{name}`", summary(name)) for name in GROUPS[group]]
    directives = "\n\n".join(f"::: xception.{name}" for name in GROUPS[group])
    return f"## {group}\n\n{markdown_table(('name', 'what it is'), rows)}\n{directives}\n"


def summary(name: str) -> str:
    """The first sentence of a name's docstring."""
    return next(_paragraphs(getattr(xception, name)), "")


def _paragraphs(thing: object) -> Iterator[str]:
    text = "Every published network by its name." if isinstance(thing, Mapping) else cleandoc(thing.__doc__ or "")
    for paragraph in text.split("\n\n"):
        yield " ".join(paragraph.split()).replace("|", "\\|")
