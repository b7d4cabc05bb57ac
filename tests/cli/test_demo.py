"""The main job from end to end, and every command of the README behind it."""

import json
import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Command
from tests.convert.file_server import FileServer
from tests.support.documents import write_files_of_users
from tests.support.pages import LOCAL, PAGES, xception_commands
from xception.bundle import open_bundle
from xception.data.digits import digits
from xception.demo import DEMO_STEPS

pytestmark = pytest.mark.slow

FORMS = ["onnx", "onnx-int8", "openvino", "weights"]


@pytest.fixture(scope="module")
def demonstration(process: Command, hub: FileServer, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder after `xception demo`, and what that said."""
    folder = tmp_path_factory.mktemp("workplace")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", os.defpath)  # no environment is activated
        result = process("demo", "--out", "demo", cwd=folder)
    assert result.returncode == 0, result.stderr
    return folder, result.stderr


@pytest.fixture(scope="module")
def workplace(demonstration: tuple[Path, str]) -> Path:
    """The same folder, with the files that users have."""
    write_files_of_users(demonstration[0])
    return demonstration[0]


@pytest.fixture(scope="module")
def document(workplace: Path) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((workplace / "demo" / "demo.json").read_bytes())
    return result


def test_the_demo_reaches_its_accuracy_on_images_it_never_saw(
    document: dict[str, list[dict[str, dict[str, object]]]],
) -> None:
    for form in document["forms"]:
        evaluation = form["evaluation"]
        assert evaluation["data"] == "digits:test"
        assert evaluation["total"] == evaluation["seen"] == len(digits("test"))
        assert evaluation["top1"]["value"] >= 0.975


def test_the_demo_writes_a_verified_bundle_a_form(workplace: Path) -> None:
    folders = sorted((workplace / "demo" / "bundles").iterdir())
    assert [folder.name for folder in folders] == FORMS
    models = {folder.name: open_bundle(folder, verify=True).model for folder in folders}
    assert models["onnx-int8"].precision == "int8"
    assert models["onnx-int8"].passed_gate is True
    assert all(model.agreement is not None for name, model in models.items() if name != "weights")


def test_each_step_is_announced_with_its_number(demonstration: tuple[Path, str]) -> None:
    steps = re.findall(r"^step (\d) of (\d): ", demonstration[1], re.MULTILINE)
    assert steps == [(str(number), str(DEMO_STEPS)) for number in range(1, DEMO_STEPS + 1)]


def test_the_demo_says_what_to_open_and_three_commands_that_work_where_nothing_is_activated(
    demonstration: tuple[Path, str],
) -> None:
    folder, said = demonstration
    (page,) = re.findall(r"^open (\S+) in a browser", said, re.MULTILINE)
    assert (folder / page).read_text(encoding="utf-8").startswith("<!doctype html>")
    commands = re.findall(r"^(?:next|  or): (.*)$", said, re.MULTILINE)
    assert len(commands) == 3
    bare = os.environ | {"PATH": os.defpath}
    for command in commands:
        done = subprocess.run(["sh", "-c", command], cwd=folder, env=bare, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        assert done.stdout


def test_the_report_needs_nothing_but_itself(workplace: Path) -> None:
    page = (workplace / "demo" / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"""(?:src|href)\s*=\s*["']?(?:https?:)?//""", page)
    assert "<script" not in page


def test_a_second_demo_does_not_overwrite_the_first_unasked(workplace: Path, process: Command) -> None:
    result = process("demo", "--out", "demo", cwd=workplace)
    assert result.returncode == 3
    assert "--overwrite" in result.stderr


@pytest.mark.parametrize("name", [name for name in LOCAL if xception_commands(PAGES[name])])
def test_every_xception_command_of_a_page_runs(name: str, workplace: Path, process: Command, tmp_path: Path) -> None:
    """In a folder of its own, since pages call their results alike."""
    for path in workplace.iterdir():
        (tmp_path / path.name).symlink_to(path)
    for arguments in xception_commands(PAGES[name]):
        result = process(*arguments, cwd=tmp_path)
        assert result.returncode == 0, f"xception {shlex.join(arguments)}: {result.stderr}"
