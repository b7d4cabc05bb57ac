import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rules.namesakes import TESTED_ELSEWHERE, TESTS, is_tested, namesakes
from tests.rules.source import FILES, ROOT

MAX_LINES_PER_FUNCTION = 60
MAX_LINES_PER_FILE = 400
VAGUE_NAMES = {"utils", "util", "common", "core", "helpers", "misc", "tools"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(tree: ast.AST) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def too_long(tree: ast.AST) -> list[str]:
    return [f.name for f in functions(tree) if (f.end_lineno or 0) - f.lineno + 1 > MAX_LINES_PER_FUNCTION]


def assertions(tree: ast.AST) -> list[int]:
    return [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Assert)]


def untyped(tree: ast.AST) -> list[str]:
    """Functions with an argument or a result of no stated type, `self` and `cls` aside."""
    names = []
    for function in functions(tree):
        given = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
        given += [argument for argument in (function.args.vararg, function.args.kwarg) if argument]
        if function.returns is None or any(a.annotation is None and a.arg not in ("self", "cls") for a in given):
            names.append(function.name)
    return names


def parameters() -> list[object]:
    return [pytest.param(path, id=path.relative_to(ROOT).as_posix()) for path in FILES]


@pytest.mark.parametrize("path", parameters())
def test_files_and_functions_are_short_typed_and_free_of_assertions(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    assert len(text.splitlines()) <= MAX_LINES_PER_FILE
    assert too_long(tree) == []
    assert untyped(tree) == []
    assert assertions(tree) == []
    assert not re.search(r"\b(TODO|FIXME|XXX)\b", text)
    assert not VAGUE_NAMES & {part.removesuffix(".py") for part in path.relative_to(ROOT).parts}


def test_the_ceilings_can_be_hit() -> None:
    tree = ast.parse("def long(a: int) -> None:\n" + "    a\n" * MAX_LINES_PER_FUNCTION + "def loose(a): assert a\n")
    assert too_long(tree) == ["long"]
    assert untyped(tree) == ["loose"]
    assert assertions(tree) == [62]


MODULE_FILES = [path for path in FILES if path.name not in ("__init__.py", "__main__.py")]


@pytest.mark.parametrize("path", [pytest.param(p, id=p.relative_to(ROOT).as_posix()) for p in MODULE_FILES])
def test_every_module_has_tests_of_its_own_name(path: Path) -> None:
    assert is_tested(path), f"expected tests/{' or tests/'.join(namesakes(path))}"


def test_a_module_without_tests_would_be_noticed() -> None:
    assert not is_tested(ROOT / "arch" / "unheard_of.py")


@pytest.mark.parametrize("relative", TESTED_ELSEWHERE)
def test_the_exceptions_are_needed(relative: str) -> None:
    assert (ROOT / relative).is_file()
    assert not (TESTS / Path(relative).parent / f"test_{Path(relative).name}").exists()


# They run as long as one likes, and print how long it took; or send requests at random moments.
TIMED_SCRIPTS = {
    "attack.py",
    "check_haproxy.py",
    "fuzz_inputs.py",
    "fuzz_readers.py",
    "kill_training.py",
    "kill_batch.py",
    "kill_writing.py",
}


def test_no_test_sleeps_is_skipped_or_looks_at_the_clock() -> None:
    forbidden = re.compile(
        r"\bsleep\(|\bpytest\.(skip|xfail|importorskip)|mark\.(skip|skipif|xfail)"
        r"|\b(perf_counter|monotonic)\(|\btime\.time\(|\bTimer\("
    )
    guilty = {
        path.name for path in TESTS.rglob("*.py") if path != Path(__file__) and forbidden.search(path.read_text())
    }
    assert guilty == TIMED_SCRIPTS
    assert all(forbidden.search(text) for text in ("pytest." + "skip()", "time." + "perf_counter() < end"))


def test_the_source_was_found() -> None:
    assert {"arch", "models", "tasks"} <= {path.parent.name for path in FILES}
