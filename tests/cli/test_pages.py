"""Every command and every program of the README and the other pages, with small bundles in the demonstration's place.

tests/cli/test_demo.py runs the commands in processes of their own, on what the demonstration makes.
"""

import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.cli.conftest import Command
from tests.support.documents import PAGES, ROOT, blocks, shell_commands, write_files_of_users, xception_commands
from tests.support.reader import NETWORK, PREPROCESS, reader_tensors
from xception.bundle import Model, write_bundle
from xception.labels import Labels
from xception.preprocess import Squash
from xception.weights import weights_bytes

SMALL = msgspec.structs.replace(PREPROCESS, resize=Squash(width_px=24, height_px=24))
MAKING_OF_THE_OTHER_FORMS = (
    "export demo/bundles/weights --to onnx --out demo/bundles/onnx",
    "export demo/bundles/weights --to openvino --out demo/bundles/openvino",
    "quantize demo/bundles/onnx --calibration digits --method max --tolerance 0.05 --out demo/bundles/onnx-int8",
)


@pytest.fixture(scope="module", autouse=True)
def half_of_the_digits() -> Iterator[None]:
    """Halve the data set that the commands name, and so their time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("xception.data.digits.SHARES", {"train": (0, 3), "validation": (3, 4), "test": (4, 5)})
        yield


@pytest.fixture(scope="module")
def demo(xception: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with bundles where the demonstration would leave them, and the files that users have. Not to be written
    to."""
    folder = tmp_path_factory.mktemp("demo")
    model = Model(name="reader", network=NETWORK, form="weights", precision="float32", preprocess=SMALL)
    weights = weights_bytes(reader_tensors(NETWORK.architecture(), SMALL))
    write_bundle(folder / "demo/bundles/weights", model, Labels(tuple("0123456789")), {"weights.safetensors": weights})
    for line in MAKING_OF_THE_OTHER_FORMS:
        result = xception(*line.split(), cwd=folder)
        assert result.returncode == 0, result.stderr
    write_files_of_users(folder)
    return folder


@pytest.fixture
def workplace(demo: Path, tmp_path: Path) -> Path:
    for path in demo.iterdir():
        (tmp_path / path.name).symlink_to(path)
    return tmp_path


@pytest.mark.parametrize("name", [name for name, page in PAGES.items() if xception_commands(page)])
def test_every_xception_command_of_a_page_runs(name: str, workplace: Path, xception: Command) -> None:
    for arguments in xception_commands(PAGES[name]):
        result = xception(*arguments, cwd=workplace)
        assert result.returncode == 0, f"xception {shlex.join(arguments)}: {result.stderr}"


def test_a_wrong_command_would_be_noticed(workplace: Path, xception: Command) -> None:
    assert xception("evaluate", "demo/bundles/onnx", "digits", "--no-such-option", cwd=workplace).returncode == 2


def test_the_readme_has_commands() -> None:
    assert len(xception_commands(PAGES["README.md"])) >= 8


@pytest.mark.parametrize("name", PAGES)
def test_every_other_command_of_a_page_is_a_target_of_make(name: str) -> None:
    make = shutil.which("make")
    assert make is not None
    for line in shell_commands(PAGES[name]):
        if line[0] != "xception":
            assert line[0] == "make"
            result = subprocess.run([make, "--dry-run", *line[1:]], cwd=ROOT, capture_output=True, check=False)
            assert result.returncode == 0, result.stderr


def python_blocks() -> list[object]:
    return [
        pytest.param(block, id=f"{name}-{number}")
        for name, page in PAGES.items()
        for number, block in enumerate(blocks(page, "python"))
    ]


@pytest.mark.parametrize("block", python_blocks())
def test_every_python_block_of_a_page_runs(block: str, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workplace)
    exec(compile(block, "page.md", "exec"), {})
