"""`make quick` finds the tests of a change."""

import subprocess
from pathlib import Path

import pytest

from tests.quick import changed_files, selected


@pytest.mark.parametrize(
    ("changed", "tests"),
    [
        ("src/xception/train/optimizers.py", {"tests/train/test_optimizers.py"}),
        ("src/xception/convert/readers/hdf5.py", {"tests/convert/test_readers_hdf5.py"}),
        ("src/xception/backends/onnxruntime.py", {"tests/backends/test_contract.py"}),
        ("tests/train/test_optimizers.py", {"tests/train/test_optimizers.py"}),
        ("tests/train/conftest.py", {"tests/train"}),
        ("tests/rules/test_docs.py", set()),
        ("tests/support/documents.py", {"tests/cli/test_demo.py", "tests/cli/test_pages.py"}),
        ("benchmarks/peers.py", {"tests/benchmarks/test_peers.py"}),
        ("docs/reference/data.md", {"tests/cli/test_pages.py", "tests/cli/test_storage_pages.py", "tests/pages"}),
        ("src/xception/no_such_module.py", set()),
        ("LICENSE", set()),
    ],
)
def test_a_change_brings_its_tests_and_the_rules(changed: str, tests: set[str]) -> None:
    assert set(selected([changed])) == {"tests/rules", *tests}


def test_what_a_branch_changed_is_committed_edited_and_new(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments], cwd=tmp_path, check=True)

    def write(*names: str) -> None:
        for name in names:
            (tmp_path / name).write_text("")
        git("add", *names)

    git("init", "--quiet", "--initial-branch", "main")
    write("old.py", "edited.py")
    git("commit", "--quiet", "--message", "main")
    git("switch", "--quiet", "--create", "branch")
    write("committed.py")
    git("commit", "--quiet", "--message", "branch")
    (tmp_path / "edited.py").write_text("edited")
    (tmp_path / "new.py").write_text("new")
    assert changed_files(tmp_path) == ["committed.py", "edited.py", "new.py"]
