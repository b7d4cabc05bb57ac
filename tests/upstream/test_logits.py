import ast
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest

from xception.convert.naming.schemes import NAMING_SCHEMES
from xception.upstream import logits
from xception.upstream.logits import NEEDS_CODE, RUNNERS, weights_of


def chosen(saved: dict[str, object], group: str = "", prefix: str = "", leave_out: tuple[str, ...] = ()) -> object:
    return weights_of(saved, Namespace(group=group, prefix=prefix, leave_out=list(leave_out)))


def test_weights_are_taken_from_their_group_and_their_wrapper() -> None:
    assert chosen({"a": 1}) == {"a": 1}
    assert chosen({"epoch": 3, "ema": {"module.a": 1, "steps": 2}}, group="ema", prefix="module.") == {"a": 1}


def test_what_is_to_be_left_out_is() -> None:
    assert chosen({"a.b": 1, "c.d": 2}, leave_out=("a.*",)) == {"c.d": 2}


def test_every_source_that_has_a_framework_is_run() -> None:
    assert RUNNERS.keys() | {"tfslim"} == NAMING_SCHEMES.keys()
    assert set(NEEDS_CODE) <= NAMING_SCHEMES.keys() | {
        name for source in NAMING_SCHEMES.values() for name in source.PUBLISHED_VARIANTS
    }


def test_the_script_needs_numpy_and_the_framework_alone() -> None:
    tree = ast.parse(Path(logits.__file__).read_text())
    found = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    found |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in found} - sys.stdlib_module_names == {"numpy", "torch"}


@pytest.mark.parametrize("source", RUNNERS)
def test_a_framework_that_is_missing_is_named(source: str, tmp_path: Path) -> None:
    options = {"source": source, "variant": "mindcv_xception", "container": "x", "num-classes": 1, "in-channels": 3}
    files = {name: tmp_path / name for name in ("file", "pixels", "out")}
    command = [sys.executable, logits.__file__, *(f"--{name}={value}" for name, value in (options | files).items())]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    framework = {"gluon": "timm"}.get(source, source)
    assert f"No module named '{framework}'" in done.stderr
