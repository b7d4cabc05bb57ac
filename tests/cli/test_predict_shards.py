import json
from pathlib import Path

import pytest

from tests.conftest import S3Server
from tests.support.samples import write_folder
from xception.bundle import Bundle
from xception.cli.app import run
from xception.cli.predict_shards import efficiency_sentence, progress_sentence
from xception.data.remote_store import open_store
from xception.tasks.watch import Scaling, Watch, WorkerRate


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def command(onnx_bundle: Bundle, tmp_path: Path) -> list[str]:
    write_folder(tmp_path / "photos")
    return ["predict", str(onnx_bundle.path), str(tmp_path / "photos"), "--images-per-shard", "4", "--out"]


def test_all_divisions_of_the_work_give_the_same_bytes(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, workers, shares, overlap = (str(tmp_path / name) for name in ("one", "workers", "shares", "overlap"))
    assert run([*command, one]) == 0
    assert "21 = 21 seen + 0 failed" in capsys.readouterr().out
    assert run([*command, workers, "--workers", "2"]) == 0
    assert "worker 1: " in capsys.readouterr().err
    for number in range(4):
        assert run([*command, shares, "--shard", f"{number}/4"]) == 0
        assert not (Path(shares) / "manifest.json").exists()
    assert run(["predict", "--out", shares, "--finish"]) == 0
    for share in ("1/3", "1/2", "2/2"):
        assert run([*command, overlap, "--shard", share]) == 0
    assert run([*command, overlap, "--finish"]) == 0
    assert content(Path(one)) == content(Path(workers)) == content(Path(shares)) == content(Path(overlap))
    assert run([*command, one]) == 0
    assert "6, of which 6 were there before" in capsys.readouterr().out


def test_what_is_not_whole_is_not_finished(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "out")
    assert run(["predict", "--out", out, "--finish"]) == 3
    assert "holds no plan.json" in capsys.readouterr().err
    assert run([*command, out, "--shard", "1/2"]) == 0
    assert run(["predict", "--out", out, "--finish"]) == 3
    assert "3 of the 6 shards in" in capsys.readouterr().err
    assert run([*command, out, "--top", "2"]) == 3
    assert "top is 5 there and 2 here" in capsys.readouterr().err
    write_folder(tmp_path / "others", per_class=2)
    assert run(["predict", command[1], str(tmp_path / "others"), "--out", out, "--finish"]) == 3
    assert "images is 21 there and 14 here" in capsys.readouterr().err


def test_shards_that_were_changed_in_a_storage_are_named_and_done_again(
    command: list[str], s3_server: S3Server, capsys: pytest.CaptureFixture[str]
) -> None:
    out = f"{s3_server.bucket('changed')}/out"
    assert run([*command, out]) == 0
    store, rows, report = open_store(out), "shard-00000002.parquet", "shard-00000002.json"
    whole = {name: store.read(name) for name in store.names()}

    def change(name: str, content: bytes | None) -> None:
        store.remove(name) if content is None else store.put(name, content)

    for name, content, said in (
        (rows, None, f"{out}/{rows} is not what was written there: it is missing"),
        (rows, whole[rows][:-1], f"it has {len(whole[rows]) - 1} bytes instead of {len(whole[rows])}"),
        (rows, whole[rows][:-1] + b"x", "its SHA-256 is another one"),
        (report, None, "1 of the 6 shards"),
        (report, whole[report][:-9], "1 of the 6 shards"),
        (report, with_field(whole[report], seen=-1, failed=5), "1 of the 6 shards"),
        (report, with_field(whole[report], file="../shard-00000002.parquet"), "1 of the 6 shards"),
        (report, with_field(whole[report], fingerprint="z"), "1 of the 6 shards"),
    ):
        change(name, content)
        assert run(["predict", "--out", out, "--finish"]) == 3
        assert said in capsys.readouterr().err
        change(report, None)
        assert run([*command, out]) == 0
        assert {name: store.read(name) for name in store.names()} == whole


def with_field(document: bytes, **fields: object) -> bytes:
    return json.dumps(json.loads(document) | fields).encode()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"images": 10**12}, f"{10**12 // 4} of the {10**12 // 4} shards in "),
        ({"images": -4}, "plan.json is none that this version wrote: Expected `int` >= 0"),
        ({"images_per_shard": 0}, "plan.json is none that this version wrote: Expected `int` >= 1"),
        ({"versions": {"xception": "99.0"}}, "was begun by version 99.0"),
    ],
)
def test_a_plan_that_was_changed_is_not_finished(
    fields: dict[str, object], said: str, command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, plan = tmp_path / "out", tmp_path / "out" / "plan.json"
    assert run([*command, str(out), "--shard", "1/6"]) == 0
    plan.write_bytes(with_field(plan.read_bytes(), **fields))
    before = content(out)
    assert run(["predict", "--out", str(out), "--finish"]) == 3
    assert said in capsys.readouterr().err
    assert content(out) == before


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["a.parquet", "--shard", "1/2"], "--shard needs shards"),
        (["a.xlsx"], "expected .parquet"),
        (["out", "--shard", "3/2"], "expected I/N"),
        (["out", "--shard", "0/0"], "expected I/N"),
        (["out", "--shard", "half"], "expected I/N"),
        (["out", "--shard=-1/4"], "expected I/N"),
        (["out", "--shard", f"1/{'9' * 5000}"], "expected I/N"),
        (
            ["s3://key:hunter2@bucket/out"],
            "cannot write to s3://***@bucket/out: a URL of S3 has no place for credentials",
        ),
        (["out", "--finish", "--workers", "2"], "--finish computes nothing"),
        (["out", "--stall-after", "0"], "expected seconds"),
        (["out", "--workers", "0"], "--workers is 0"),
        (["s3://bucket/a.parquet"], "name a folder there"),
        (["out", "--ray", "auto", "--workers", "2"], "--ray distributes the shards itself"),
        (["out", "--ray", "auto", "--shard", "1/2"], "--ray distributes the shards itself"),
        (["out", "--ray", "auto", "--finish"], "--finish computes nothing"),
        (["out", "--actors", "2"], "--actors needs a Ray cluster"),
        (["out", "--ray", "auto", "--actors", "0"], "--actors is 0"),
        (["out", "--ray", "auto", "--cpus-per-actor", "-1"], "--cpus-per-actor has to be above 0"),
        (["out", "--vendor", "ascend", "--workers", "2"], "--workers needs shards"),
        (["out", "--vendor", "ascend", "--threshold", "0.5"], "--threshold does not apply to --vendor"),
        (["out", "--threshold", "1"], "expected a probability between 0 and 1"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(
    options: list[str], said: str, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*command[:3], "--out", *options]) == 2
    assert said in capsys.readouterr().err


def test_figures_of_a_folder_of_shards_are_those_of_one_process(
    reader: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle, out = str(reader.path), str(tmp_path / "out")
    assert run(["predict", bundle, "digits", "--logits", "--images-per-shard", "100", "--out", out]) == 0
    capsys.readouterr()
    found = []
    for command in (["--results", out], [bundle, "digits"]):
        assert run(["evaluate", *command, "--json"]) == 0
        found.append(json.loads(capsys.readouterr().out))
    assert found[0]["total"] > 300
    for figure in ("total", "seen", "failed", "top1", "loss", "confusion", "macro_f1", "roc_auc"):
        assert found[0][figure] == found[1][figure]


def test_progress_names_the_slowest_worker() -> None:
    watch = Watch(left=3, failed=2, rates={"1": WorkerRate(90, 1.0), "2": WorkerRate(70, 1.0)})
    assert "3 shards left, 2 images failed, slowest worker 2 with 70 images/s" in progress_sentence(watch)
    del watch.rates["1"]
    assert progress_sentence(watch).endswith("3 shards left, 2 images failed")


@pytest.mark.parametrize(
    ("together", "alone", "said"),
    [
        (70.0, [80.0], "; scaling efficiency 88%: 140.0 images/s while all 2 worked, and 80.0 of one while no other"),
        (70.0, [60.0], "; scaling efficiency unknown, since the shards' rates differ too much: 140.0 images/s while"),
        (70.0, [], "images/s"),
    ],
)
def test_scaling_is_stated_where_it_is_known(together: float, alone: list[float], said: str) -> None:
    watch = Watch(left=0, scaling=Scaling(([together] * 4, [together] * 4), alone))
    assert said in efficiency_sentence(watch)
    assert ("efficiency" in efficiency_sentence(watch)) == bool(alone)
