import json
from pathlib import Path

from tests.cli.conftest import Command
from tests.data import faulty
from tests.support.samples import write_folder


def folder(root: Path) -> Path:
    return write_folder(root, classes=("ant", "bee"))


def test_a_clean_set_passes(xception: Command, tmp_path: Path) -> None:
    clean = folder(tmp_path / "clean")
    result = xception("data", "check", clean)
    assert (result.returncode, result.stderr) == (0, f"next: xception train {clean}\n")
    assert "6 = 6 sound + 0 failed" in result.stdout
    assert "0 errors, 0 warnings, 0 notes" in result.stdout
    flat = xception("data", "check", clean / "ant", "--unlabelled")
    assert (flat.returncode, flat.stderr) == (0, f"next: xception predict MODEL {clean / 'ant'}\n")
    assert "3 = 3 sound + 0 failed" in flat.stdout


def test_warnings_alone_pass_and_are_listed(xception: Command, tmp_path: Path) -> None:
    data = folder(tmp_path / "copies")
    (data / "bee/again.png").write_bytes((data / "bee/0.png").read_bytes())
    result = xception("data", "check", data)
    assert result.returncode == 0
    assert "warning: exact_duplicate, 1: the same file more than once\n  bee/0.png, bee/again.png\n" in result.stdout


def test_an_error_fails_and_is_named(xception: Command, tmp_path: Path) -> None:
    data = folder(tmp_path / "broken")
    for index in range(12):
        (data / f"ant/cut{index:02d}.jpg").write_bytes(faulty.cut(faulty.jpeg(index)))
    result = xception("data", "check", data)
    assert result.returncode == 1
    assert "errors found in broken: 12" in result.stderr
    assert "  ant/cut00.jpg: " in result.stdout
    assert "  and 2 more; --json lists them all" in result.stdout


def test_the_document_holds_all_that_was_found(xception: Command, tmp_path: Path) -> None:
    train, held = folder(tmp_path / "train"), folder(tmp_path / "held")
    (held / "ant/0.png").write_bytes(b"")
    result = xception("data", "check", train, "--not-in", held, "--json")
    assert result.returncode == 1
    document = json.loads(result.stdout)
    assert (document["data"], document["not_in"]) == ("train", ["held"])
    assert (document["total"], document["seen"], document["failed"]) == (6, 6, 0)
    assert document["counts"] == {"leakage": 5, "not_compared": 1}
    assert document["findings"][0] == {
        "kind": "leakage",
        "severity": "error",
        "paths": ["ant/1.png", "held: ant/1.png"],
        "detail": "the same file in both data sets",
    }


def test_a_list_with_faults_is_checked_where_others_refuse_it(xception: Command, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(faulty.jpeg(0))
    (tmp_path / "labels.txt").write_text("ant\n")
    (tmp_path / "list.txt").write_text("a.jpg 0\na.jpg 0\ngone.jpg 0\na.jpg\na.jpg 7\n")
    result = xception("data", "check", tmp_path / "list.txt", "--json")
    assert result.returncode == 1
    assert json.loads(result.stdout)["counts"] == {
        "missing": 1,
        "conflicting_labels": 1,
        "bad_line": 1,
        "index_out_of_range": 1,
        "listed_twice": 1,
    }


def test_a_page_with_pictures_is_written(xception: Command, tmp_path: Path) -> None:
    train, held = folder(tmp_path / "train"), folder(tmp_path / "held")
    result = xception("data", "check", train, "--not-in", held, "--html", tmp_path / "check.html")
    assert result.returncode == 1
    page = (tmp_path / "check.html").read_text(encoding="utf-8")
    assert 'alt="Image ant/0.png"' in page
    assert 'alt="Image held: ant/0.png"' in page
