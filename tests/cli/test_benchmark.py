import json
import re
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from tests.support.samples import write_folder
from xception.bundle import Bundle
from xception.cli import benchmark as module
from xception.cli.app import run
from xception.intervals import Interval
from xception.speed.benchmark import Benchmark
from xception.speed.benchmark import benchmark as measured
from xception.speed.self_audit import Audit

QUICK = ("--batch", "4", "--images", "8", "--warmup", "0")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_folder(tmp_path_factory.mktemp("photos"), per_class=1)
    (folder / "ant" / "broken.png").write_bytes(b"broken")
    return folder


def document(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> dict[str, Any]:
    assert run(["benchmark", *map(str, arguments), "--json"]) == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


def complaint(capsys: pytest.CaptureFixture[str], code: int, *arguments: str | Path) -> str:
    assert run(["benchmark", *map(str, arguments)]) == code
    return capsys.readouterr().err


def test_everything_is_in_one_document(onnx_bundle: Bundle, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = document(
        capsys, onnx_bundle.path, photos, *QUICK, "--repeats", "4", "--against-backend", "openvino",
        "--time-to-first", "--backend", "onnxruntime", "--instances", "1", "--threads", "1", "--pixels", "reference",
    )  # fmt: skip
    (measured,) = result["runs"]
    accuracy = measured["accuracy"]
    assert accuracy["seen"] + accuracy["failed"] == accuracy["total"] == 8
    assert accuracy["failed"] == measured["failed"] == 1
    assert [failure["path"] for failure in result["failures"]] == ["ant/broken.png"]
    assert (result["instances"], result["threads"], result["pixels"]) == (1, 1, "reference")
    assert (result["warmup"], result["repeats"]) == (0, 4)
    (race,) = result["races"]
    assert (race["first"]["backend"], race["second"]["backend"]) == ("onnxruntime", "openvino")
    assert race["ratio"]["low"] <= race["ratio"]["value"] <= race["ratio"]["high"]
    (first,) = result["startup"]
    assert (first["backend"], first["first_label_ms"]["samples"]) == ("onnxruntime", 4)
    assert result["audit"] is None


def test_the_table_names_every_figure(
    onnx_bundle: Bundle, photos: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    arguments = [str(onnx_bundle.path), str(photos), *QUICK, "--repeats", "1", "--html", str(page)]
    assert run(["benchmark", *arguments]) == 0
    said = capsys.readouterr()
    for word in ("end to end", "bound", "efficiency", "runtime ms", "answer ms", "infer busy", "peak memory", "top-1"):
        assert word in said.out
    assert "failed, and not counted: ant/broken.png" in said.err
    assert f"Speed of {onnx_bundle.model.name} on" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(("efficiency", "is_told"), [(1.02, True), (0.98, False)])
def test_an_efficiency_above_one_is_explained(
    efficiency: float,
    is_told: bool,
    onnx_bundle: Bundle,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def planted(*arguments: Any, **options: Any) -> Benchmark:
        result = measured(*arguments, **options)
        figures = {"efficiency": efficiency, "efficiency_low": 0.9, "efficiency_high": 1.1}
        return replace(result, runs=tuple(replace(one, **figures) for one in result.runs))

    monkeypatch.setattr(module, "run", planted)
    assert run(["benchmark", str(onnx_bundle.path), *QUICK, "--repeats", "1"]) == 0
    said = capsys.readouterr()
    assert f"{efficiency:.2f} [0.90, 1.10]" in said.out
    assert ("an efficiency above 1 (batch 4) means" in said.err) == is_told


def test_ascends_lines_are_printed_or_written(
    onnx_bundle: Bundle, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    lines = [str(onnx_bundle.path), *QUICK, "--repeats", "1", "--vendor", "ascend"]
    assert run(["benchmark", *lines]) == 0
    printed = capsys.readouterr()
    assert re.match(r"\[e2e\] throughputRate: [\d.e+]+, latency: [\d.e+]+\n\[data read\] throughputRate: ", printed.out)
    assert "[post] counts images" in printed.err
    assert run(["benchmark", *lines, "--out", str(tmp_path / "new")]) == 0
    file = tmp_path / "new" / "perf_vision_batchsize_4_device_0.txt"
    assert capsys.readouterr().out == f"{file}\n"
    values = re.findall(r": ([\d.e+-]+)", file.read_text())
    assert len(values) == 11
    assert float(values[2]) == pytest.approx(1000 / float(values[3]), rel=1e-4)


def test_an_audit_that_finds_a_memory_fails(
    onnx_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ratios = {"infer": Interval(value=9, low=8, high=10)}
    found = Audit(batch=4, images=16, ratios=ratios, caching=("infer",), undecided=())
    monkeypatch.setattr(module, "self_audit", lambda *_, **__: found)
    arguments = [onnx_bundle.path, *QUICK, "--repeats", "4", "--self-audit"]
    assert "infer: a repeated image ran" in complaint(capsys, 1, *arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--repeats", "3", "--against-backend", "openvino"], "too few to tell a difference from noise"),
        (["--repeats", "3", "--self-audit"], "too few to tell a difference from noise"),
        (["--json", "--vendor", "ascend"], "exclude one another"),
        (["--out", "lines"], "pass both"),
        (["--batch", "0"], "--batch is 0, which measures nothing; expected at least 1\n"),
        (["--images", "0"], "--images is 0, which measures nothing; expected at least 1\n"),
        (["--warmup", "-1"], "at least 0"),
        (["--against-backend", "none"], "unknown backend 'none'"),
    ],
)
def test_what_makes_no_sense_is_refused_before_the_work(
    onnx_bundle: Bundle,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.setattr(module, "run", lambda *_, **__: pytest.fail("worked"))
    assert message in complaint(capsys, 2, onnx_bundle.path, *arguments)
