"""Every command and every program of the README and the other pages, with small bundles in the demonstration's place.

tests/cli/test_demo.py runs the commands in processes of their own, on what the demonstration makes;
tests/cli/test_storage_pages.py runs those that need an object storage.
"""

import csv
import io
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import msgspec
import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from tests.cli.conftest import Command
from tests.convert.file_server import FileServer
from tests.support.documents import write_files_of_users
from tests.support.lanes import slow_unless
from tests.support.pages import LOCAL, PAGES, ROOT, blocks, shell_commands, xception_commands
from tests.support.reader import NETWORK, PREPROCESS, reader_tensors
from tests.support.samples import HANG_S
from xception.bundle import Model, write_bundle
from xception.labels import Labels, imagenet1k
from xception.preprocess import Squash
from xception.resolve import look_up
from xception.weights import weights_bytes

SMALL = msgspec.structs.replace(PREPROCESS, resize=Squash(width_px=24, height_px=24))
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))
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
def workplace(demo: Path, hub: FileServer, tmp_path: Path) -> Path:
    for path in demo.iterdir():
        (tmp_path / path.name).symlink_to(path)
    return tmp_path


QUICK = {"docs/reference/adoption.md", "docs/reference/evaluation.md", "docs/how-to/results-in-other-tools.md"}
"""Pages whose commands take little time; the others' are among the slow tests."""


@pytest.mark.parametrize(
    "name", slow_unless(QUICK.__contains__, [name for name in LOCAL if xception_commands(PAGES[name])])
)
def test_every_xception_command_of_a_page_runs(name: str, workplace: Path, xception: Command) -> None:
    for arguments in xception_commands(PAGES[name]):
        result = xception(*arguments, cwd=workplace)
        assert result.returncode == 0, f"xception {shlex.join(arguments)}: {result.stderr}"


def test_a_wrong_command_would_be_noticed(workplace: Path, xception: Command) -> None:
    assert xception("evaluate", "demo/bundles/onnx", "digits", "--no-such-option", cwd=workplace).returncode == 2


def test_the_readme_begins_with_one_line_from_a_name_to_a_label(
    workplace: Path, hub: FileServer, xception: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verb, name, photo = xception_commands(PAGES["README.md"])[0]
    assert (verb, look_up(name).name, photo) == ("predict", "timm_xception65.ra3_in1k", "photo.jpg")
    first = xception(verb, name, photo, "--csv", cwd=workplace)
    assert first.returncode == 0, first.stderr
    rows = list(csv.DictReader(io.StringIO(first.stdout)))
    assert [row["path"] for row in rows] == [photo] * 5
    assert {row["label"] for row in rows} < set(imagenet1k().names)
    asked = len(hub.requests)
    monkeypatch.setenv("XCEPTION_OFFLINE", "1")
    second = xception(verb, name, photo, "--csv", cwd=workplace)
    assert (second.stdout, second.stderr, len(hub.requests)) == (first.stdout, "", asked)


def test_the_readme_has_commands() -> None:
    assert len(xception_commands(PAGES["README.md"])) >= 8


def outputs(page: Path) -> list[str]:
    """The files and folders that the commands and programs of a page write."""
    text = "".join(blocks(page, "sh") + blocks(page, "python"))
    return re.findall(r"""(?:--(?:out|html)\s+|out="|write\("|export\("\w+", ")([^\s"]+)""", text)


def test_what_the_first_pages_write_in_a_clone_is_not_offered_to_git() -> None:
    patterns = [line.strip("/") for line in (ROOT / ".gitignore").read_text().splitlines() if line.startswith("/")]
    first = ["README.md", *(name for name in PAGES if name.startswith("docs/tutorials/"))]
    written = {place.partition("/")[0] for name in first for place in outputs(PAGES[name])}
    assert {"runs", "digits-int8", "flowers.html", "labels.csv", "confusion.svg"} < written
    assert {place for place in written if not any(fnmatch(place, pattern) for pattern in patterns)} == set()


@pytest.mark.parametrize("name", LOCAL)
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
        for name in LOCAL
        for number, block in enumerate(blocks(PAGES[name], "python"))
    ]


@pytest.mark.parametrize("block", python_blocks())
def test_every_python_block_of_a_page_runs(
    block: str, workplace: Path, surroundings: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workplace)
    for name, value in surroundings.items():
        monkeypatch.setenv(name, value)
    exec(compile(block, "page.md", "exec"), {})


@pytest.mark.slow
@pytest.mark.parametrize("path", [pytest.param(path, id=path.name) for path in NOTEBOOKS])
def test_every_cell_of_a_notebook_runs(path: Path, workplace: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells), "clear the outputs before committing"
    NotebookClient(notebook, timeout=HANG_S, resources={"metadata": {"path": str(workplace)}}).execute()
    assert any(cell.get("outputs") for cell in notebook.cells)


@pytest.mark.slow
def test_a_cell_that_fails_would_be_noticed(workplace: Path) -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("import xception\nxception.load('nowhere')")])
    with pytest.raises(CellExecutionError, match="nowhere"):
        NotebookClient(notebook, timeout=HANG_S, resources={"metadata": {"path": str(workplace)}}).execute()
