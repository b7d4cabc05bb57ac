"""Tables at every width: nothing that is read as one is broken across lines."""

import re
import shutil
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.adoption.graphs import PX, TF2ONNX, write_onnx
from tests.cli.conftest import Command
from tests.convert.checkpoints import drawn, write_keras
from tests.report.pages import form_rows
from tests.report.test_benchmark import with_all
from tests.report.test_quantization import RESULT, TRIALS
from tests.support.keys import write_keys
from tests.support.samples import write_folder
from xception.bundle import Bundle, open_bundle
from xception.cli import benchmark, demo, quantize
from xception.cli.layout import fact_lines, table_lines, wrapped
from xception.cli.output import print_rows
from xception.demo import DemoResult, FormResult
from xception.intervals import Interval
from xception.oip.rules import RULES
from xception.quantize.speed import Int8Speed
from xception.signature import sign_bundle

WIDTHS = (80, 120)
UNIT = re.compile(r"[-+]?[\d.,]*\d(%| (G|ms|MB|GB|s|px|bytes|points))")


def as_a_terminal_shows(output: str, columns: int) -> Iterator[str]:
    """The lines on a screen, where a line that is too long goes on below at any character."""
    for line in output.splitlines():
        yield from (line[start : start + columns] for start in range(0, max(1, len(line)), columns))


def broken(output: str, columns: int) -> list[str]:
    """Words, headers and numbers with their units that end on another line than the one where they begin."""
    found = []
    for line in output.splitlines():
        if line.lstrip().startswith("to use it"):
            continue  # a command stays one line, so that it can be pasted
        shown = list(as_a_terminal_shows(line, columns))
        found += [f"{one[-1]}|{two[0]}" for one, two in pairwise(shown) if " " not in (one[-1], two[0])]
    for one, two in pairwise(as_a_terminal_shows(output, columns)):
        value = f"{one.split()[-1]} {two.split()[0]}" if one.split() and two.split() else ""
        if UNIT.fullmatch(value) and len(one) > 1:
            found.append(value)
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("photographs") / "with a long name for a folder", 2)


VERBS = {
    "list": ("list",),
    "list of operations": ("list", "--flops-convention", "seed-table"),
    "info on a variant": ("info", "timm_xception65"),
    "info on weights": ("info", "timm_xception65.ra3_in1k"),
    "info on a bundle": ("info", "BUNDLE"),
    "info on a graph": ("info", "BUNDLE/model.onnx"),
    "evaluate": ("evaluate", "BUNDLE", "FOLDER"),
    "compare": ("compare", "BUNDLE", "WEIGHTS", "FOLDER"),
    "predict": ("predict", "BUNDLE", "FOLDER"),
    "export": ("export", "WEIGHTS", "--to", "onnx", "--out", "OUT/a", "--overwrite"),
    "data check": ("data", "check", "FOLDER"),
    "data parity": ("data", "parity", "BUNDLE", "FOLDER", "--preprocess", "nearest,no_norm"),
    "prove": ("prove", "BUNDLE", "--as", "BUNDLE"),
    "convert": ("convert", "FILE", "--out", "OUT/a"),
    "adopt": ("adopt", "GRAPH", "--preprocess", f"squash={PX}", "range=0..255", "--out", "OUT/a"),
    "train": ("train", "digits", "--set", "model.width=0.25", "--dry-run"),
    "sign": ("sign", "SIGNED", "--private-key", "KEYS/private.pem", "--overwrite"),
    "verify": ("verify", "SIGNED", "--public-key", "KEYS/public.pem"),
}


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory, forms: dict[str, Bundle], folder: Path) -> dict[str, Path]:
    """The files that the commands name, in a folder of a long name."""
    place = tmp_path_factory.mktemp("a folder with a long name for files of several kinds")
    write_keys(place)
    signed = shutil.copytree(forms["onnx"].path, place / "signed")
    sign_bundle(open_bundle(signed), place / "private.pem")
    return {
        "BUNDLE": forms["onnx"].path,
        "WEIGHTS": forms["weights"].path,
        "FOLDER": folder,
        "FILE": write_keras(place / "faces.h5", drawn("mini_xception", width=0.5)),
        "GRAPH": write_onnx(place / "graph.onnx", TF2ONNX),
        "KEYS": place,
        "SIGNED": signed,
    }


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("columns", WIDTHS)
def test_no_table_of_a_verb_breaks_what_is_read_as_one(
    verb: str,
    columns: int,
    xception: Command,
    places: dict[str, Path],
    tmp_path: Path,
    surroundings: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    named = {**places, "OUT": tmp_path}
    words = [re.sub("|".join(named), lambda name: str(named[name[0]]), word) for word in VERBS[verb]]
    monkeypatch.setitem(surroundings, "COLUMNS", str(columns))
    shown = xception(*words)
    assert shown.stdout, shown.stderr
    assert broken(without_paths(shown.stdout), columns) == []


def without_paths(output: str) -> str:
    """Output without lines that a path or another single word fills."""
    return "\n".join(line for line in output.splitlines() if max(map(len, line.split()), default=0) < 60)


def print_quantization() -> None:
    trials = [*TRIALS, msgspec.structs.replace(TRIALS[1], method="percentile-99.999", error="because " * 20)]
    quantize._print(msgspec.structs.replace(RESULT, trials=tuple(trials)))


def print_conformance() -> None:
    print_rows(("rule", "verdict", "because"), [(name, "kept", rule.words) for name, rule in RULES.items()], prose=True)


def print_demo() -> None:
    forms = tuple(
        FormResult(
            name=row.name,
            path=str(row.bundle.path),
            form=row.bundle.model.form,
            precision=row.bundle.model.precision,
            size_bytes=row.bundle.size_bytes,
            digest=row.bundle.model.digest,
            evaluation=row.evaluation,
            agreement=row.bundle.model.agreement,
            passed_gate=row.bundle.model.passed_gate,
            benchmark=msgspec.structs.replace(with_all(), runs=(row.run,)),
        )
        for row in form_rows()
    )
    ratio = Interval(value=1.25, low=1.21, high=1.3)
    speed = Int8Speed(parent_backend="onnxruntime", backend="onnxruntime", batch=8, images=64, ratio=ratio)
    page = "demo/report.html"
    result = DemoResult(recipe="digits", seconds={}, history=(), forms=forms, int8_speed=speed, report=page)
    demo._print(result, Path("demo"))


PRINTED: dict[str, Callable[[], None]] = {
    "benchmark": lambda: benchmark._print(with_all()),
    "quantize": print_quantization,
    "oip-check": print_conformance,
    "demo": print_demo,
}


@pytest.mark.parametrize("name", PRINTED)
@pytest.mark.parametrize("columns", WIDTHS)
def test_no_table_of_a_long_measurement_breaks_what_is_read_as_one(
    name: str, columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    PRINTED[name]()
    shown = capsys.readouterr()
    assert broken(shown.out, columns) == []
    if name == "benchmark":
        assert broken("\n".join(shown.err.splitlines()[:8]), columns) == []


def test_a_table_of_any_width_is_seen_to_break(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    benchmark._print(with_all())
    wide = capsys.readouterr().out
    assert max(map(len, wide.splitlines())) > max(WIDTHS)
    assert all(broken(wide, columns) for columns in WIDTHS)


WORD = st.text(st.characters(categories=("L", "N")), min_size=1, max_size=12)
CELL = st.lists(WORD, min_size=1, max_size=3).map(" ".join)


@settings(max_examples=40)
@given(st.integers(1, 4).flatmap(lambda n: st.lists(st.lists(CELL, min_size=n, max_size=n), min_size=2, max_size=4)))
def test_every_word_of_a_table_is_there_at_every_width(table: list[list[str]]) -> None:
    header, *rows = table
    for columns, prose in ((None, False), (10, False), (40, True), (80, False)):
        shown = " ".join(table_lines(header, rows, columns, prose=prose)).split()
        assert sorted(set(shown)) == sorted({word for row in table for cell in row for word in cell.split()})


@pytest.mark.parametrize("columns", [20, 24, 28, 33, 40])
@pytest.mark.parametrize(
    "together", ["12.5 ms", "1,234 MB", "[97.19%, 98.96%]", "+1.37 points", "98.28% [97.19%, 98.96%]"]
)
def test_a_number_stays_with_its_unit_and_an_interval_in_one_piece(together: str, columns: int) -> None:
    lines = wrapped(f"a rate that is {together} and a few words more", columns)
    assert len(lines) > 1 or columns >= 60
    assert any(together in line for line in lines)


def test_a_command_and_a_path_are_left_in_one_piece() -> None:
    path = "/a/long/path/to/the/photographs"
    assert fact_lines([("next", f"xception predict a {path}")], 20) == ["next", f"  xception predict a {path}"]
    assert path in fact_lines([("folder", f"in {path}")], 20)[-1]


def test_a_row_is_one_line_where_no_terminal_limits_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert table_lines(("name", "value"), [("a", "word " * 50)], None)[1].count("word") == 50
