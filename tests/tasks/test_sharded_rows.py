from pathlib import Path

import pytest

from tests.conftest import S3Server
from tests.support.samples import labelled
from tests.support.shards import planned, whole_run
from xception.bundle import Bundle
from xception.data.remote_store import open_store
from xception.data.store import LocalStore
from xception.errors import InputError
from xception.pipeline.engine import Engine
from xception.tasks.batch import predict_to_file
from xception.tasks.scored_rows import compare_rows, evaluate_rows
from xception.tasks.sharded_rows import is_result_table, read_rows


def test_figures_of_shards_are_those_of_one_file(onnx_bundle: Bundle, tmp_path: Path) -> None:
    source = labelled(20, broken=(3,))
    with Engine.open(onnx_bundle) as engine:
        whole_run(engine, source, LocalStore(tmp_path / "a"), logits=True)
        predict_to_file(engine, source, tmp_path / "a.jsonl.gz", logits=True)
    one, other = (evaluate_rows(tmp_path / name) for name in ("a", "a.jsonl.gz"))
    assert (one.total, one.failed, one.top1, one.loss, one.confusion) == (
        20,
        1,
        other.top1,
        other.loss,
        other.confusion,
    )
    assert one.provenance
    assert other.provenance
    assert one.provenance.options == other.provenance.options


def test_figures_of_shards_in_object_storage_are_those_of_a_folder(
    onnx_bundle: Bundle, tmp_path: Path, s3_server: S3Server
) -> None:
    source, url = labelled(20, broken=(3,)), f"{s3_server.bucket('scored')}/labels"
    with Engine.open(onnx_bundle) as engine:
        for name, content in whole_run(engine, source, LocalStore(tmp_path / "a"), logits=True).items():
            open_store(url).put(name, content)
        predict_to_file(engine, source, tmp_path / "rows.jsonl.gz", logits=True)
    open_store(url).put("rows.jsonl.gz", (tmp_path / "rows.jsonl.gz").read_bytes())
    here, there, file = (evaluate_rows(place) for place in (tmp_path / "a", url, f"{url}/rows.jsonl.gz"))
    assert (there.data, there.total, there.failed) == ("labels", 20, 1)
    assert (there.loss, there.confusion) == (here.loss, here.confusion) == (file.loss, file.confusion)
    assert compare_rows(tmp_path / "a", url).flips == ()
    open_store(url).put("shard-00000001.jsonl.gz", b"")
    with pytest.raises(InputError, match=rf"{url}/shard-00000001\.jsonl\.gz is not what the manifest says: it has 0"):
        evaluate_rows(url)
    open_store(url).remove("shard-00000001.jsonl.gz")
    with pytest.raises(InputError, match="it is missing"):
        evaluate_rows(url)
    open_store(url).remove("manifest.json")
    with pytest.raises(InputError, match=r"holds no manifest\.json; its shards are not all done"):
        evaluate_rows(url)


@pytest.mark.parametrize(
    ("place", "expected"),
    [("a.csv", True), ("a.jsonl.gz", True), ("s3://bucket/labels", True), ("ascend-results", False)],
)
def test_a_table_of_results_is_told_from_the_results_of_a_tool(place: str, expected: bool) -> None:
    assert is_result_table(place) is expected


def test_only_a_whole_folder_is_read(onnx_bundle: Bundle, tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "a")
    with Engine.open(onnx_bundle) as engine:
        planned(engine, labelled(20), store)
        assert is_result_table(store.place)
        with pytest.raises(InputError, match=r"holds no manifest\.json; its shards are not all done"):
            list(read_rows(store.root))
        whole_run(engine, labelled(20), store)
    assert len(list(read_rows(store.root))) == 20
    rows = store.root / "shard-00000001.jsonl.gz"
    rows.write_bytes(rows.read_bytes()[:-2])
    with pytest.raises(InputError, match="is not what the manifest says: it has"):
        list(read_rows(store.root))
