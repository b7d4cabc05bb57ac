import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.export.packs.conftest import Copy
from tests.export.requests import export_to
from tests.support.samples import HANG_S
from xception.bundle import Bundle


def test_a_readme_says_what_was_run_and_what_was_not(packs: dict[str, Path]) -> None:
    for vendor, tools in (("ascend", "`atc`, AMCT, `benchmark` and `ais_bench`"), ("vastai", "`vamc` and `vamp`")):
        text = (packs[vendor] / "README.md").read_text(encoding="utf-8")
        assert f"- Not run: {tools}" in text
        assert "- Run: the graphs were written" in text
        assert "opset 11" in text
        assert "- photos: top-1" in text
        assert "15 images = 14 seen + 1 failed" in text
        assert "14 images of photos, 14 with a true class. 1 more could not be read: ant/broken.png." in text
        assert "\n21 " in text


def test_every_command_of_a_readme_names_files_of_the_pack(packs: dict[str, Path]) -> None:
    ascend = (packs["ascend"] / "README.md").read_text(encoding="utf-8")
    assert "SOC=Ascend310P3 AIPP=1 sh compile.sh" in ascend
    assert "8-bit RGB images (H, W, C)" in ascend
    assert "om/small_bs1 " in (packs["ascend"] / "compile.sh").read_text(encoding="utf-8")
    vastai = (packs["vastai"] / "README.md").read_text(encoding="utf-8")
    for name in ("build_fp16.yaml", "build_int8.yaml", "vdsp_params.json", "datalist.txt", "verify.py"):
        assert name in vastai
        assert (packs["vastai"] / name).is_file()
    assert "for kind in fp16 int8; do" in vastai
    assert "-i 1 -p 1 -b 1 -s [3,32,32]\ndone" in vastai


TOOL = """#!/bin/sh
echo "$(basename "$0") $*" >> "$CALLS"
for word in "$@"; do case "$word" in --output=*) touch "${word#--output=}.om" ;; esac; done
place=$(echo "$*" | sed -n "s/.*--output_dirname \\([^ ]*\\).*/\\1/p")
test -z "$place" || cp -r "$RESULTS" "results/$place"
case "$(basename "$0")" in benchmark) mkdir -p result; cp -r "$RESULTS" result/dumpOutput_device0 ;; esac
case "$1" in verify.py) exec "$PYTHON" "$@" ;; esac
"""
"""It plays a tool of the vendor: notes its call, and puts a perfect chip's files where the tool does."""


def played(pack: Path, bin_: Path, results: Path) -> list[str]:
    """All commands of the README, run one after another in the pack; returns the calls of the tools."""
    bin_.mkdir()
    for name in ("atc", "amct_onnx", "benchmark", "python3"):
        (bin_ / name).write_text(TOOL)
        (bin_ / name).chmod(0o755)
    text = (pack / "README.md").read_text(encoding="utf-8")
    blocks = [block for block in re.findall(r"```\n(.*?)```", text, re.DOTALL) if "compile.sh" not in block]
    commands = ["INT8=1 sh compile.sh\n", *blocks]
    calls = bin_ / "calls"
    environment = {**os.environ, "PATH": f"{bin_}:{os.environ['PATH']}", "CALLS": str(calls), "RESULTS": str(results)}
    environment["PYTHON"] = sys.executable
    done = subprocess.run(
        ["sh", "-eu", "-c", "".join(commands)],
        cwd=pack,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=HANG_S,
    )
    assert done.returncode == 0, done.stderr
    return calls.read_text().splitlines()


def test_the_commands_for_ascend_run_what_was_compiled_and_check_it(copy: Copy, tmp_path: Path) -> None:
    pack = copy("ascend")
    calls = played(pack, tmp_path / "bin", tmp_path / "results")
    compiled = {path.name for path in (pack / "om").iterdir()}
    assert compiled == {f"small_bs{batch}.om" for batch in (1, 4, 8, 16, 32)} | {"small_bs1_int8.om"}
    for tool in ("ais_bench", "benchmark"):
        run = [call for call in calls if tool in call]
        assert {name for name in compiled if any(name in call for call in run)} == compiled
    assert [call for call in calls if "verify.py r" in call] == [
        "python3 verify.py results/bs1",
        "python3 verify.py results/bs1_int8",
        *["python3 verify.py result/dumpOutput_device0"] * 2,
    ]
    batches = [re.search(r"om/small_bs(\d+).*--batchsize (\d+) --loop", call) for call in calls]
    assert {found.groups() for found in batches if found} == {(size, size) for size in ("1", "4", "8", "16", "32")}


@pytest.mark.slow
@pytest.mark.parametrize(("vendor", "words"), [("ascend", "bs1_int8"), ("vastai", "build_int8")])
def test_without_calibration_no_int8_file_is_promised(
    vendor: str, words: str, weights_bundle: Bundle, tmp_path: Path
) -> None:
    text = (export_to(weights_bundle, vendor, tmp_path / "pack") / "README.md").read_text(encoding="utf-8")
    assert words not in text
    assert "int8; do" not in text
