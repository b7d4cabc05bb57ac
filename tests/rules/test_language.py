"""The language of the source, as far as a rule can hold it."""

import ast
from pathlib import Path

import pytest

from tests.rules.measures import fragments, old_bounds, public_names, repeated_names, tree_of
from tests.rules.prose import habits
from tests.rules.source import FILES, ROOT

INTERFACES = {
    "open_session": "every backend's module has it, see `BACKENDS`",
    "open_taps": "the forms that show the values inside, see `FORMS`",
    "write": "every export target's module has it, see `EXPORT_TARGETS`",
    "PUBLISHED_VARIANTS": "part of a naming scheme, see `NamingScheme`",
    "tensor_names": "part of a naming scheme",
    "prepare_tensors": "part of a naming scheme",
    **dict.fromkeys(
        ("adopt", "benchmark", "compare", "evaluate", "predict"), "a verb, called after the task that it runs"
    ),
}
"""Public names that several modules define on purpose, since they mean the same in each."""


def parameters() -> list[object]:
    return [pytest.param(path, id=path.relative_to(ROOT).as_posix()) for path in FILES]


@pytest.mark.parametrize("path", parameters())
def test_docstrings_make_sense_without_the_name_and_bounds_are_max_and_min(path: Path) -> None:
    tree = tree_of(path)
    assert fragments(tree) == []
    assert old_bounds(tree) == []


def test_a_fragment_and_an_old_bound_would_be_noticed() -> None:
    tree = ast.parse('MOST_IMAGES = 16\n"""Of one turn."""\nLEAST = 1\n\n\ndef f() -> None:\n    """What it says."""\n')
    assert fragments(tree) == ["2: Of one turn.", "7: What it says."]
    assert old_bounds(tree) == ["MOST_IMAGES", "LEAST"]


def test_a_public_name_means_one_thing_in_the_tree() -> None:
    assert {name: places for name, places in repeated_names().items() if name not in INTERFACES} == {}


def test_the_interfaces_are_needed() -> None:
    assert INTERFACES.keys() <= repeated_names().keys()


def test_public_names_are_functions_classes_and_constants() -> None:
    tree = ast.parse("import a\nB = 1\nC: int = 2\n_d = 3\n\n\nclass E: ...\n\n\ndef f() -> None: ...\n")
    assert list(public_names(tree)) == ["B", "C", "_d", "E", "f"]


TEXTS = [*FILES, *ROOT.rglob("*.j2"), *ROOT.rglob("*.toml")]
"""All text that a user may see, with the comments around it."""


@pytest.mark.parametrize("path", [pytest.param(p, id=p.relative_to(ROOT).as_posix()) for p in TEXTS])
def test_no_word_costs_a_reader_a_second_look(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [f"{line.strip()}: {advice}" for line in lines for advice in habits(line)] == []


def test_recipes_and_templates_are_among_the_texts() -> None:
    assert {".py", ".j2", ".toml"} == {path.suffix for path in TEXTS}
