import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import xception

INIT = Path(xception.__file__)

CALLER = """
import xception
from pathlib import Path
from xception import open_bundle, predict

bundle = open_bundle(Path("digits"))
engine = xception.Engine.open("digits", backend="onnxruntime")
reveal_type(bundle)
reveal_type(engine)
reveal_type(predict(bundle, ["3.png"]))
reveal_type(xception.evaluate(engine, xception.open_source("digits")))
"""

WRONG = """
import xception
from xception import open_bundle, predict

predict("no", such="argument")
open_bundle(1, 2, nonsense=3)
xception.evaluate("digits", 3)
xception.no_such_name
"""


def declared() -> dict[str, str]:
    """The names that type checkers see, with their modules."""
    (block,) = [node for node in ast.parse(INIT.read_text()).body if isinstance(node, ast.If)]
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    return {
        alias.asname or "": str(node.module) for node in imports for alias in node.names if alias.asname == alias.name
    }


def test_type_checkers_see_the_names_that_python_finds() -> None:
    assert declared() == xception._HOMES
    assert sorted(declared()) == xception.__all__


@pytest.mark.parametrize("name", xception.__all__)
def test_every_public_name_resolves_to_its_definition(name: str) -> None:
    assert getattr(xception, name) is getattr(importlib.import_module(xception._HOMES[name]), name)


@pytest.mark.parametrize("name", xception.__all__)
def test_every_public_name_says_what_it_is_for(name: str) -> None:
    thing = getattr(xception, name)
    assert name == "VARIANTS" or (thing.__doc__ and not thing.__doc__.startswith(f"{name}("))


def check_types(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """The verdict of mypy --strict on a caller, which sees the package as an installed one."""
    (folder / "caller.py").write_text(code)
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--cache-dir",
        str(INIT.parents[2] / ".mypy_cache"),
        "caller.py",
    ]
    # The package's own configuration says which third parties are without types.
    options = ["--config-file", str(INIT.parents[2] / "pyproject.toml")]
    environment = {"MYPYPATH": str(INIT.parents[1]), "PATH": "/usr/bin:/bin"}
    return subprocess.run([*command, *options], cwd=folder, env=environment, capture_output=True, text=True)


def test_a_caller_is_told_the_types_of_what_it_gets(tmp_path: Path) -> None:
    result = check_types(CALLER, tmp_path)
    assert result.returncode == 0, result.stdout
    revealed = [line.partition('type is "')[2].rstrip('"') for line in result.stdout.splitlines() if "Revealed" in line]
    assert revealed == [
        "xception.bundle.Bundle",
        "xception.pipeline.engine.Engine",
        "list[xception.pipeline.engine.Prediction | xception.pipeline.lane.Failure]",
        "xception.tasks.evaluate.Evaluation",
    ]


def test_a_caller_is_told_of_wrong_arguments_and_of_names_that_do_not_exist(tmp_path: Path) -> None:
    result = check_types(WRONG, tmp_path)
    assert result.returncode == 1
    wrong_lines = {int(line.split(":")[1]) for line in result.stdout.splitlines() if ": error:" in line}
    assert wrong_lines == {5, 6, 7, 8}


def test_editors_complete_all_public_names() -> None:
    import jedi

    code = "import xception\nxception."
    assert set(xception.__all__) <= {found.name for found in jedi.Script(code).complete(2, 9)}


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'xception' has no attribute 'evalute'"):
        _ = xception.evalute  # type: ignore[attr-defined]


def test_public_names_are_found_by_dir() -> None:
    assert set(xception.__all__) <= set(dir(xception))


def test_the_version_is_a_version() -> None:
    assert [part.isdigit() for part in xception.__version__.split(".")] == [True] * 3
