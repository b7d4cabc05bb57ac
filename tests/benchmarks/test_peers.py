import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import peers
from benchmarks.contenders.table import CONTENDERS, Contender, members
from benchmarks.peers import Plan, Row, bundles, measure
from benchmarks.peers_table import markdown
from tests.support.samples import encoded, picture

PLAN = Plan(batches=(1, 2), seconds=4.0, rounds=2, photos=None)


def stub(name: str, logit: float = 1.0, fate: str = "lives", **facts: Any) -> Contender:
    return Contender(name, "float32", "tests.benchmarks.contender_stub", (name, str(logit), fate), **facts)


@pytest.fixture(autouse=True)
def no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "REST_S", 0.0)


@pytest.fixture
def one_logit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "probe_logits", lambda folder: np.ones((2, 3)))


@pytest.fixture
def one_photo(tmp_path: Path) -> Path:
    folder = tmp_path / "photos" / "class"
    folder.mkdir(parents=True)
    (folder / "a.jpg").touch()
    return folder.parent


def run(folder: Path, *contenders: Contender, plan: Plan = PLAN) -> list[Row]:
    return measure("timm_xception", contenders, plan, folder, folder)


@pytest.mark.usefixtures("one_logit")
def test_contenders_take_turns_and_the_first_round_does_not_count(tmp_path: Path) -> None:
    rows = run(tmp_path, stub("a"), stub("b"))
    # The stub says that each call took it two seconds, however many batches it was.
    order = ["a 1x1", "b 1x1", "a 2x1", "b 2x1"] + ["a 1x2", "b 1x2", "a 2x2", "b 2x2"] * 2
    assert (tmp_path / "order.txt").read_text().splitlines() == order
    assert [row.rates for row in rows] == [{"batch 1": [1.0, 1.0], "batch 2": [2.0, 2.0]}] * 2
    assert rows[0].versions == {"numpy": np.__version__}


@pytest.mark.usefixtures("one_logit")
def test_what_cannot_be_measured_stays_with_its_reason(tmp_path: Path) -> None:
    missing = Contender("missing", "float32", "tests.benchmarks.no_such_module")
    rows = run(tmp_path, stub("other", logit=1.5), stub("mad", logit=float("nan")), missing, stub("whole"))
    problems = [row.problem or "" for row in rows]
    assert problems[0] == "it runs another network: its logits differ by 0.5 of the largest"
    assert problems[1] == "it runs another network: its logits differ by inf of the largest"
    assert "No module named" in problems[2]
    assert [bool(row.rates) for row in rows] == [False, False, False, True]


@pytest.mark.usefixtures("one_logit")
def test_one_that_breaks_down_does_not_hold_up_the_others(tmp_path: Path) -> None:
    rows = run(tmp_path, stub("a", fate="dies"), stub("b", fate="fails"), stub("c"))
    assert [row.problem for row in rows] == [
        "ended with status 1: killed by its own hand",
        "RuntimeError: no such batch",
        None,
    ]
    assert len(rows[2].rates["batch 2"]) == 2


@pytest.mark.usefixtures("one_logit")
def test_only_those_that_go_the_whole_way_are_asked_to(tmp_path: Path, one_photo: Path) -> None:
    plan = Plan(batches=(1,), seconds=0.0, rounds=1, photos=one_photo)
    rows = run(tmp_path, stub("both", batch=8), stub("files", batch=8, infers=False), stub("network"), plan=plan)
    assert [list(row.rates) for row in rows] == [["batch 1", "end to end"], ["end to end"], ["batch 1"]]


@pytest.mark.usefixtures("one_logit")
def test_a_group_goes_only_the_whole_way_and_at_every_batch_size(tmp_path: Path, one_photo: Path) -> None:
    plan = Plan(batches=(1, 8), seconds=0.0, rounds=2, photos=one_photo, file_batches=(1, 8))
    rows = run(tmp_path, stub("both", batch=8), stub("network"), plan=plan)
    assert [list(row.rates) for row in rows] == [["end to end, batch 1", "end to end, batch 8"], []]


def test_the_loops_by_hand_meet_this_toolkit_in_each_precision() -> None:
    found = {(one.precision, one.name.partition(",")[0], one.options[0]) for one in members("loops")}
    assert {(precision, "xception", "openvino") for precision in ("float32", "bfloat16")} <= found
    assert {options for precision, name, options in found if name != "xception"} == {"openvino", "onnxruntime"}
    assert all(one.batch for one in members("loops"))


@pytest.mark.usefixtures("one_logit")
def test_each_is_asked_for_as_much_as_takes_it_the_same_time(one_photo: Path) -> None:
    plan = Plan(batches=(2,), seconds=30.0, rounds=1, photos=one_photo)
    quick = Row(stub("quick", batch=8), "v", pace={"batch 2": 10.0, "end to end": 0.3})
    slow = Row(stub("slow", batch=8), "v", pace={"batch 2": 0.01, "end to end": 0.01})
    infer, end_to_end = plan.measures().values()
    assert [(infer(row) or {})["count"] for row in (quick, slow)] == [150, peers.MIN_BATCHES]
    assert [(end_to_end(row) or {})["passes"] for row in (quick, slow)] == [9, 1]


@pytest.mark.usefixtures("one_logit")
def test_who_is_left_out_of_a_run_is_named(tmp_path: Path) -> None:
    plan = Plan(batches=(1,), seconds=0.0, rounds=1, photos=None, skipped=("compile",))
    skipped, measured = run(tmp_path, stub("torch.compile"), stub("eager"), plan=plan)
    assert (skipped.problem, measured.problem) == ("left out of this run", None)


def test_a_contender_without_the_network_has_no_row(tmp_path: Path, one_logit: None) -> None:
    assert run(tmp_path, stub("keras", variants="keras_")) == []


def row(contender: str, rates: dict[str, list[float]], problem: str | None = None) -> dict[str, Any]:
    facts = {"variant": "v", "precision": "float32", "contender": contender, "logit_error": 0.0, "versions": {}}
    return {**facts, "rates": rates, "problem": problem}


def test_the_table_sets_ratios_to_the_best_of_ours_and_leaves_nobody_out() -> None:
    rows = [
        row("xception, slow", {"batch 1": [10.0, 11.0]}),
        row("xception, quick", {"batch 1": [20.0, 22.0]}),
        row("peer", {"batch 1": [40.0, 44.0]}),
        row("gone", {}, "not installed"),
    ]
    environment = {"cpu": "an abacus", "cores": 2}
    text = markdown({"environment": environment, "date": "2026-01-01", "rounds": 2, "photos": 0, "rows": rows})
    assert "| xception, quick | **21.0 ± 1.0** |" in text
    assert "| xception, slow | 10.5 ± 0.5 (0.50: 0.50 to 0.50) |" in text
    assert "| peer | 42.0 ± 2.0 (2.00: 2.00 to 2.00) |" in text
    assert "| gone | not measured: not installed |" in text
    assert "| v, float32 | 0.50: 0.50 to 0.50 |  |" in text


def test_the_summary_sets_our_fastest_beside_the_fastest_peer_and_the_path_of_validate() -> None:
    low = {"precision": "bfloat16"}
    rows = [
        row("xception, a", {"batch 1": [10.0, 11.0], "end to end": [8.0, 9.0]}),
        row("peer", {"batch 1": [10.0, 11.0]}),
        row("timm, validate.py at its defaults", {"end to end": [4.0, 4.5]}),
        row("xception, b", {"batch 1": [40.0, 44.0], "end to end": [40.0, 45.0]}) | low,
        row("fast peer", {"batch 1": [20.0, 22.0], "end to end": [20.0, 22.5]}) | low,
    ]
    environment = {"cpu": "an abacus", "cores": 2}
    text = markdown({"environment": environment, "date": "2026-01-01", "rounds": 2, "photos": 9, "rows": rows})
    same, double, tenfold = (f"{value}.00: {value}.00 to {value}.00" for value in (1, 2, 10))
    assert f"| v, float32 | {same} | {double} | {double} |" in text
    assert f"| v, bfloat16 | {double} | {double} | {tenfold} |" in text
    assert f"| v, the fastest of all | {double} | {double} | {tenfold} |" in text


@pytest.mark.slow
def test_the_runtimes_and_this_toolkit_run_the_same_network_from_the_same_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = tmp_path / "photos" / "class"
    photos.mkdir(parents=True)
    for index in range(3):
        (photos / f"{index}.png").write_bytes(encoded(picture()))
    bundles("timm_xception", tmp_path / "made", width=0.0625)
    chosen = {"xception, onnxruntime", "ONNX Runtime, a loop"}
    plan = Plan(batches=(2,), seconds=0.0, rounds=1, photos=photos.parent)
    rows = run(tmp_path / "made", *(one for one in CONTENDERS if one.name in chosen), plan=plan)
    assert [row.problem for row in rows] == [None, None]
    assert [list(row.rates) for row in rows] == [["batch 2", "end to end"]] * 2
    assert all(0 <= (row.logit_error or 0) < 1e-5 for row in rows)
    json.dumps([row.document() for row in rows])
