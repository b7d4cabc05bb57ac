from pathlib import Path

import pytest

from tests.support.samples import labelled
from tests.support.shards import planned, whole_run
from xception.bundle import Bundle
from xception.data.store import LocalStore
from xception.errors import InputError
from xception.pipeline.engine import Engine
from xception.tasks.batch import predict_to_file
from xception.tasks.scored_rows import evaluate_rows
from xception.tasks.sharded_rows import is_sharded_result, read_rows


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


def test_only_a_whole_folder_is_read(onnx_bundle: Bundle, tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "a")
    with Engine.open(onnx_bundle) as engine:
        planned(engine, labelled(20), store)
        assert not is_sharded_result(store.root)
        with pytest.raises(InputError, match=r"holds no manifest\.json; its shards are not all done"):
            list(read_rows(store.root))
        whole_run(engine, labelled(20), store)
    assert is_sharded_result(store.root)
    assert len(list(read_rows(store.root))) == 20
    rows = store.root / "shard-00000001.jsonl.gz"
    rows.write_bytes(rows.read_bytes()[:-2])
    with pytest.raises(InputError, match="is not what the manifest says: it has"):
        list(read_rows(store.root))
