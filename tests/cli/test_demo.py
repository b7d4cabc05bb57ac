"""The main job from end to end, and every command of the README behind it."""

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pages.readme import README
from tests.cli.conftest import Command
from tests.convert.checkpoints import hollow, write_keras
from xception.bundle import open_bundle
from xception.data.digits import digits

BLOCK = re.compile(r"```(sh|python)\n(.*?)```", re.DOTALL)
FORMS = ["onnx", "onnx-int8", "openvino", "weights"]


@pytest.fixture(scope="module")
def workplace(process: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder after `xception demo`, with a checkpoint for `convert` and images for `predict`."""
    folder = tmp_path_factory.mktemp("workplace")
    result = process("demo", "--out", "demo", cwd=folder)
    assert result.returncode == 0, result.stderr
    write_keras(folder / "model.h5", hollow("keras", "mini_xception"))
    (folder / "photos").mkdir()
    for item in list(digits("test"))[:3]:
        loaded = item.load()
        assert isinstance(loaded, Image.Image)
        loaded.save(folder / "photos" / f"{item.key}.png")
    return folder


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


def test_the_report_needs_nothing_but_itself(workplace: Path) -> None:
    page = (workplace / "demo" / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"""(?:src|href)\s*=\s*["']?(?:https?:)?//""", page)
    assert "<script" not in page


def test_a_second_demo_does_not_overwrite_the_first_unasked(workplace: Path, process: Command) -> None:
    result = process("demo", "--out", "demo", cwd=workplace)
    assert result.returncode == 3
    assert "--overwrite" in result.stderr


PAGES = [*README.parent.glob("*.md"), *(README.parent / "docs").rglob("*.md")]


def blocks(language: str) -> list[str]:
    """All code blocks of a language in the README and in every other page."""
    return [
        text for page in PAGES for kind, text in BLOCK.findall(page.read_text(encoding="utf-8")) if kind == language
    ]


def commands() -> list[list[str]]:
    lines = [shlex.split(line, comments=True) for block in blocks("sh") for line in block.splitlines()]
    return [line for line in lines if line]


def test_every_xception_command_of_the_pages_runs(workplace: Path, process: Command) -> None:
    ran = [line[1:] for line in commands() if line[0] == "xception"]
    assert len(ran) >= 8
    for arguments in ran:
        result = process(*arguments, cwd=workplace)
        assert result.returncode == 0, f"xception {shlex.join(arguments)}: {result.stderr}"


def test_every_other_command_of_the_pages_is_a_target_of_make() -> None:
    others = [line for line in commands() if line[0] != "xception"]
    assert others
    for line in others:
        assert line[0] == "make"
        make = shutil.which("make")
        assert make is not None
        result = subprocess.run([make, "--dry-run", *line[1:]], cwd=README.parent, capture_output=True, check=False)
        assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("block", blocks("python"))
def test_every_python_block_of_the_pages_runs(block: str, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workplace)
    exec(compile(block, "page.md", "exec"), {})
