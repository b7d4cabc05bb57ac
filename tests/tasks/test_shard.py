import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import msgspec
import pytest

from tests.support.children import in_child
from tests.support.samples import labelled
from tests.support.shards import content, killing, planned, whole_run
from xception.backends.base import Compute
from xception.bundle import Bundle
from xception.data.remote import Unreachable
from xception.data.source import Item, Items
from xception.data.store import LocalStore
from xception.errors import EnvironmentFault, InputError
from xception.forms import Form
from xception.pipeline.engine import Engine
from xception.tasks import shard
from xception.tasks.batch import finish, missing_shards, predict_shards
from xception.tasks.image_results import read_image_results
from xception.tasks.plan import MANIFEST, PLAN, read_batch_manifest, read_plan
from xception.tasks.shard import DEADLY, predict_shard


@pytest.fixture
def engine(onnx_bundle: Bundle) -> Iterator[Engine]:
    with Engine.open(onnx_bundle) as opened:
        yield opened


def test_every_image_is_in_one_shard_and_the_manifest_counts_them(engine: Engine, tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "out")
    source = labelled(20, broken=(7,))
    files = whole_run(engine, source, store)
    manifest = read_batch_manifest(store)
    rows = [row for report in manifest.shards for row in read_image_results(store.root / report.file)]
    assert [row.key for row in rows] == [item.key for item in source]
    assert (manifest.total, manifest.seen, manifest.failed) == (20, 19, 1)
    assert [report.seen + report.failed for report in manifest.shards] == [6, 6, 6, 2]
    assert len(files) == 2 + 2 * 4
    assert manifest.plan == read_plan(store).digest


@pytest.mark.parametrize("form", ["onnx", "openvino", "litert", "weights"])
def test_any_order_and_any_engine_give_the_same_bytes(form: Form, forms: dict[Form, Bundle], tmp_path: Path) -> None:
    source, found = labelled(20), []
    for number, (compute, workers) in enumerate([(Compute(instances=2, threads=1), 4), (Compute(threads=1), 1)]):
        store = LocalStore(tmp_path / str(number))
        with Engine.open(forms[form], compute=compute, workers=workers, batch_size=4) as engine:
            plan = planned(engine, source, store)
            predict_shards(engine, source, plan, store, list(plan.shards)[:: 1 - 2 * number])
            predict_shard(engine, source, plan, 1, store)
            finish(store, plan)
        found.append(content(store))
    assert found[0] == found[1]


def test_a_shard_that_is_done_twice_writes_the_same_bytes(engine: Engine, tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "out")
    before = whole_run(engine, labelled(20), store)
    store.remove("shard-00000001.json")
    assert missing_shards(store, read_plan(store)) == [1]
    assert whole_run(engine, labelled(20), store) == before


def test_what_is_done_is_not_computed_again(engine: Engine, tmp_path: Path) -> None:
    store, source = LocalStore(tmp_path / "out"), labelled(20)
    plan = planned(engine, source, store)
    predict_shards(engine, source, plan, store, [0, 2])
    assert missing_shards(store, plan) == [1, 3]
    assert missing_shards(store, plan, [3, 2]) == [3]
    unreadable = Items(source.name, source.classes, tuple(replace(item, load=lambda: b"") for item in source))
    done = content(store)
    predict_shards(engine, unreadable, plan, store, [0, 2])
    assert content(store) == done


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda rows: rows.unlink(), "it is missing"),
        (lambda rows: rows.write_bytes(rows.read_bytes()[:-1]), r"it has \d+ bytes instead of"),
        (lambda rows: rows.write_bytes(rows.read_bytes()[:-1] + b"x"), "its SHA-256 is another one"),
        (lambda rows: rows.with_name("shard-00000002.json").unlink(), "1 of the 4 shards in .* are not done"),
        (lambda rows: rows.with_name("shard-00000002.json").write_bytes(b"{}"), "1 of the 4 shards in"),
    ],
)
def test_a_shard_that_is_missing_cut_or_altered_is_named_at_the_end(
    damage: Callable[[Path], object], said: str, engine: Engine, tmp_path: Path
) -> None:
    store, source = LocalStore(tmp_path / "out"), labelled(20)
    before = whole_run(engine, source, store)
    store.remove(MANIFEST)
    damage(store.root / "shard-00000002.jsonl.gz")
    with pytest.raises(InputError, match=said):
        finish(store, read_plan(store))
    assert MANIFEST not in set(store.names())
    store.remove("shard-00000002.json")
    assert whole_run(engine, source, store) == before


def test_an_image_that_kills_is_found_after_two_attempts_and_the_others_keep_their_answers(
    engine: Engine, tmp_path: Path
) -> None:
    source = labelled(20)
    sound = whole_run(engine, source, LocalStore(tmp_path / "sound"))
    stores = [LocalStore(tmp_path / name) for name in ("first", "second")]
    for store in stores:
        for _ in range(2):
            assert in_child(partial(whole_run, engine, killing(source, 8, 10), store)) == -signal.SIGKILL
        whole_run(engine, killing(source, 8, 10), store)
    assert content(stores[0]) == content(stores[1])
    changed = {name for name, held in content(stores[0]).items() if sound[name] != held}
    assert changed == {"shard-00000001.jsonl.gz", "shard-00000001.json", MANIFEST}
    rows = {row.key: row for row in read_image_results(stores[0].root / "shard-00000001.jsonl.gz")}
    assert {key: row.failure for key, row in rows.items() if row.failure} == {"008": DEADLY, "010": DEADLY}
    whole = {row.key: row for row in read_image_results(tmp_path / "sound" / "shard-00000001.jsonl.gz")}
    assert all(rows[key] == whole[key] for key in rows if not rows[key].failure)


def test_processes_that_were_killed_by_others_cost_no_image(engine: Engine, tmp_path: Path) -> None:
    source = labelled(20)
    before = whole_run(engine, source, LocalStore(tmp_path / "sound"))
    store = LocalStore(tmp_path / "out")
    plan = planned(engine, source, store)
    for number in (1, 2):
        assert store.create(shard._mark(2, number), b"")
    assert whole_run(engine, source, store) == before
    assert plan == read_plan(store)


def test_an_interrupted_shard_is_no_attempt(engine: Engine, tmp_path: Path) -> None:
    def interrupt() -> bytes:
        raise KeyboardInterrupt

    source, store = labelled(6), LocalStore(tmp_path / "out")
    items = (Item("000", 0, interrupt), *source.items[1:])
    plan = planned(engine, source, store)
    with pytest.raises(KeyboardInterrupt):
        predict_shard(engine, Items("a", source.classes, items), plan, 0, store)
    assert list(content(store)) == [PLAN]


def test_a_server_that_does_not_answer_ends_the_shard_and_fails_no_image(engine: Engine, tmp_path: Path) -> None:
    def unreachable() -> bytes:
        raise Unreachable("cannot read s3://images/a.png: Service Unavailable; check the address")

    store, sound = LocalStore(tmp_path / "out"), labelled(6)
    plan = planned(engine, sound, store)
    source = Items(sound.name, sound.classes, (*sound.items[:3], replace(sound[3], load=unreachable), *sound.items[4:]))
    with pytest.raises(EnvironmentFault, match="Service Unavailable"):
        predict_shard(engine, source, plan, 0, store)
    assert missing_shards(store, plan) == [0]
    assert predict_shard(engine, sound, plan, 0, store).failed == 0


def test_what_another_version_began_is_not_finished(engine: Engine, tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "out")
    plan = planned(engine, labelled(6), store)
    with pytest.raises(InputError, match="was begun by version 99, and this is"):
        finish(store, msgspec.structs.replace(plan, versions={"xception": "99"}))
