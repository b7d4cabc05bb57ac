"""The script that travels with a pack, run as it is run there: with NumPy and nothing else."""

import ast
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.export.packs.conftest import Copy
from tests.support.samples import HANG_S
from xception.export.packs import verify

NUMPY_ALONE = """
import runpy, sys
class Nothing:
    def find_spec(self, name, path=None, target=None):
        root = name.partition(".")[0]
        if root != "numpy" and root not in sys.stdlib_module_names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Nothing())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def run(pack: Path, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-W", "error", "-c", NUMPY_ALONE, str(pack / "verify.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=HANG_S)


def test_nothing_but_numpy_can_be_imported_there(tmp_path: Path) -> None:
    (tmp_path / "verify.py").write_text("import msgspec")
    assert "No module named 'msgspec'" in run(tmp_path).stderr


def test_the_script_is_one_that_old_interpreters_read() -> None:
    ast.parse(Path(verify.__file__).read_text(encoding="utf-8"), feature_version=(3, 7))


@pytest.mark.parametrize("vendor", ["ascend", "vastai"])
def test_a_whole_pack_and_a_perfect_chip_pass(vendor: str, copy: Copy) -> None:
    pack = copy(vendor)
    whole = run(pack)
    assert (whole.returncode, whole.stderr) == (0, "")
    assert "the pack is whole" in whole.stdout
    scored = run(pack, pack.parent / "results")
    assert (scored.returncode, scored.stderr) == (0, "")
    assert "top-1 agreement with the source: 100.00% of 14 inputs" in scored.stdout
    assert "top-1 of the chip" in scored.stdout
    assert "expected on photos" in scored.stdout


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def linked(path: Path) -> None:
    """Put a link in the place of a file or folder, to the same content elsewhere."""
    place = path.parents[1 if path.parent.name in ("ascend", "vastai") else 2] / path.name
    path.rename(place)
    path.symlink_to(place)


def first(folder: Path, pattern: str) -> Path:
    return sorted(folder.glob(pattern))[0]


def swap(folder: Path) -> None:
    """The results of all inputs, shifted by one."""
    files = sorted(folder.iterdir())
    contents = [file.read_bytes() for file in files]
    for file, content in zip(files, [*contents[1:], contents[0]], strict=True):
        file.write_bytes(content)


def changed_manifest(pack: Path) -> None:
    document = json.loads((pack / "pack.json").read_bytes())
    document["least_agreement"] = 0
    (pack / "pack.json").write_text(json.dumps(document))


PACK_FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a bit of a graph": (lambda pack: flipped(first(pack, "onnx/*")), "was changed after it was packed"),
    "a graph cut short": (lambda pack: os.truncate(first(pack, "onnx/*"), 1000), "has 1,000 bytes instead of"),
    "a graph gone": (lambda pack: first(pack, "onnx/*").unlink(), "is missing"),
    "other golden logits": (lambda pack: flipped(pack / "goldens" / "logits.npy"), "logits.npy was changed"),
    "an input swapped": (lambda pack: flipped(sorted((pack / "inputs").rglob("*.*"))[0]), "was changed"),
    "a class renamed": (lambda pack: flipped(first(pack, "labels/*.txt")), "was changed"),
    "a file too many": (lambda pack: (pack / "inputs" / "more.bin").touch(), "inputs/more.bin, are not of the pack"),
    "a file too many at the top": (lambda pack: (pack / "aipp2.cfg").touch(), "aipp2.cfg, are not of the pack"),
    "a folder too many": (lambda pack: (pack / "calibration2").mkdir(), "calibration2, are not of the pack"),
    "a folder too many inside": (lambda pack: (pack / "inputs" / "more").mkdir(), "inputs/more, are not of the pack"),
    "a link to a graph": (lambda pack: linked(first(pack, "onnx/*")), ".onnx is a link"),
    "a link to the manifest": (lambda pack: linked(pack / "pack.json"), "pack.json is a link"),
    "a link to a folder": (lambda pack: linked(pack / "labels"), "labels is a link"),
    "a link to nothing": (lambda pack: (pack / "inputs" / "more").symlink_to("gone"), "inputs/more is a link"),
    "a manifest edited": (changed_manifest, "pack.json was changed"),
    "a manifest cut": (lambda pack: os.truncate(pack / "pack.json", 500), "no description of a pack"),
    "a manifest gone": (lambda pack: (pack / "pack.json").unlink(), "pack.json is missing"),
    "the README edited": (lambda pack: flipped(pack / "README.md"), "README.md was changed"),
}


@pytest.mark.parametrize("vendor", ["ascend", "vastai"])
@pytest.mark.parametrize("fault", PACK_FAULTS)
def test_a_corrupt_pack_fails_with_a_sentence(
    fault: str, vendor: str, copy: Copy, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pack = copy(vendor)
    spoil, sentence = PACK_FAULTS[fault]
    spoil(pack)
    monkeypatch.setattr(verify, "__file__", str(pack / "verify.py"))
    assert verify.main([]) == 1
    failed = capsys.readouterr().err
    assert failed.startswith("FAILED: ")
    assert sentence in failed


def nan(file: Path) -> None:
    if file.suffix == ".bin":
        np.full(7, np.nan, np.float32).tofile(file)
    else:
        np.savez(file, output_0=np.full(7, np.nan, np.float32))


def swap_two(folder: Path) -> None:
    one, other, *_ = sorted(folder.iterdir())
    first_content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(first_content)


def blur(folder: Path) -> None:
    """Noise of 30 % of the scores' deviation, with a seed under which few classes change."""
    files, rng = sorted(folder.iterdir()), np.random.default_rng(0)
    rows = np.stack([np.fromfile(f, "<f4") if f.suffix == ".bin" else np.load(f)["output_0"] for f in files])
    noisy = (rows + rng.normal(0, 0.3 * rows.std(), rows.shape)).astype(np.float32)
    for file, row in zip(files, noisy, strict=True):
        row.tofile(file) if file.suffix == ".bin" else np.savez(file, output_0=row)


RESULT_FAULTS: dict[str, tuple[Callable[[Path], object], tuple[str, str]]] = {
    "one missing": (lambda folder: first(folder, "*").unlink(), ("1 of 14 inputs", "13 outputs; expected 14")),
    "one cut short": (
        lambda folder: os.truncate(first(folder, "*"), 10),
        ("10 bytes; expected 28", "no readable array"),
    ),
    "not numbers": (lambda folder: nan(first(folder, "*")), ("no finite numbers", "no finite numbers")),
    "in another order": (swap, ("check that inputs, their order", "check that inputs, their order")),
    "two swapped": (swap_two, ("2 results are those of other inputs", "2 results are those of other inputs")),
    "with noise": (blur, ("of the goldens' deviation, more than 0.25", "of the goldens' deviation, more than 0.25")),
    "none at all": (lambda folder: [path.unlink() for path in folder.iterdir()], ("14 of 14", "holds 0 outputs")),
    "no folder": (lambda folder: folder.rename(folder.parent / "gone"), ("cannot be read", "cannot be read")),
}


@pytest.mark.parametrize("vendor", ["ascend", "vastai"])
@pytest.mark.parametrize("fault", RESULT_FAULTS)
def test_corrupt_results_fail_with_a_sentence(
    fault: str, vendor: str, copy: Copy, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pack = copy(vendor)
    spoil, sentences = RESULT_FAULTS[fault]
    spoil(pack.parent / "results")
    monkeypatch.setattr(verify, "__file__", str(pack / "verify.py"))
    assert verify.main([str(pack.parent / "results")]) == 1
    assert sentences[vendor == "vastai"] in capsys.readouterr().err


def test_a_link_in_place_of_the_script_does_not_verify_another_pack(copy: Copy) -> None:
    pack = copy("ascend")
    broken = pack.parent / "broken"
    broken.mkdir()
    (broken / "verify.py").symlink_to(pack / "verify.py")
    done = run(broken)
    assert (done.returncode, "pack.json is missing" in done.stderr) == (1, True)


def test_what_the_tools_make_in_a_pack_may_hold_folders_and_links(copy: Copy) -> None:
    pack = copy("ascend")
    (pack / "om" / "kernel").mkdir(parents=True)
    (pack / "results").symlink_to(pack.parent / "results")
    assert run(pack, pack / "results").returncode == 0


def test_a_module_next_to_the_script_does_not_stand_in_for_numpy(copy: Copy) -> None:
    pack = copy("ascend")
    (pack / "numpy.py").write_text("raise SystemExit(0)")
    done = subprocess.run(
        [sys.executable, str(pack / "verify.py")], capture_output=True, text=True, check=False, timeout=HANG_S
    )
    assert done.returncode == 1
    assert "numpy.py, are not of the pack" in done.stderr


def test_a_result_of_no_input_is_refused(
    copy: Copy, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pack = copy("ascend")
    known = first(pack.parent / "results", "*")
    (known.parent / "strange_0.bin").write_bytes(known.read_bytes())
    code, said = scored(pack, capsys, monkeypatch)
    assert (code, "1 results, such as strange, of no input" in said) == (1, True)


def scored(pack: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> tuple[int, str]:
    monkeypatch.setattr(verify, "__file__", str(pack / "verify.py"))
    code = verify.main([str(pack.parent / "results")])
    captured = capsys.readouterr()
    return code, captured.out + captured.err


def test_probabilities_are_compared_with_probabilities(
    copy: Copy, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pack = copy("vastai")
    for file, row in zip(
        sorted((pack.parent / "results").iterdir()), np.load(pack / "goldens" / "logits.npy"), strict=True
    ):
        shares = np.exp(row - row.max())
        np.savez(file, output_0=shares / shares.sum())
    code, said = scored(pack, capsys, monkeypatch)
    assert code == 0
    assert "largest difference of probabilities" in said


def test_classes_in_text_are_read_as_the_tools_write_them(
    copy: Copy, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pack = copy("ascend")
    rows = np.load(pack / "goldens" / "logits.npy")
    for number, (file, row) in enumerate(zip(sorted((pack.parent / "results").iterdir()), rows, strict=True)):
        ranked = np.argsort(-row)
        words = (row.tolist(), ranked, [0, *(ranked + 1)])[number % 3]
        file.with_suffix(".txt").write_text(" ".join(map(str, words)))
        file.unlink()
    code, said = scored(pack, capsys, monkeypatch)
    assert (code, "100.00% of 14" in said) == (0, True)
    file.with_suffix(".txt").write_text("1.0 2.0")
    assert scored(pack, capsys, monkeypatch)[0] == 1


def test_a_result_txt_is_read_with_its_lines_in_order(
    copy: Copy, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pack = copy("vastai")
    names = json.loads((pack / "pack.json").read_bytes())["inputs"]["names"]
    lines = [
        f"/x/unknown/{name}.npz: Relay top-{place} id: {index}, prob: 0.1, class name: x"
        for name, row in zip(names, np.load(pack / "goldens" / "logits.npy"), strict=True)
        for place, index in enumerate(np.argsort(-row)[:5])
    ]
    result = pack.parent / "results" / "result.txt"
    result.write_text("\n".join(lines))
    assert scored(pack, capsys, monkeypatch)[0] == 0
    result.write_text("\n".join(lines[:-1]))
    assert "has 4 lines" in scored(pack, capsys, monkeypatch)[1]
    result.write_text("\n".join(lines[1:]))
    assert "out of turn" in scored(pack, capsys, monkeypatch)[1]
    result.write_text("nonsense")
    assert "expected PATH" in scored(pack, capsys, monkeypatch)[1]
