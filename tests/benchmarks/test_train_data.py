from pathlib import Path

import pytest

from benchmarks import train_data


@pytest.fixture(scope="module")
def batches(tmp_path_factory: pytest.TempPathFactory) -> train_data.Batches:
    shard = tmp_path_factory.mktemp("data") / "images-000000.tar"
    made = train_data.open_batches(train_data.write_shard(shard, images=60))
    made.batch_size, made.per_epoch = 8, 7
    return made


def test_ways_are_measured_in_turn_and_set_beside_one_worker(batches: train_data.Batches) -> None:
    rates = train_data.measure(batches, [0, 1], rounds=2, steps=1)
    assert {workers: len(row) for workers, row in rates.items()} == {0: 2, 1: 2}
    lines = train_data.as_table(rates).splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:]] == ["a thread", "1 worker"]
    assert lines[3].endswith("| 1.00 (1.00 to 1.00) |")


def test_batches_that_differ_are_told(batches: train_data.Batches, monkeypatch: pytest.MonkeyPatch) -> None:
    assert train_data.same_bits(batches, [0, 1], steps=2)
    prepare = train_data.prepared_batches
    monkeypatch.setattr(
        train_data,
        "prepared_batches",
        lambda *given: (batch._replace(levels=batch.levels ^ 1) for batch in prepare(*given)),
    )
    assert not train_data.same_bits(batches, [0], steps=2)


def test_a_shard_is_written_whole(tmp_path: Path) -> None:
    assert len(train_data.open_source(train_data.write_shard(tmp_path / "a-000000.tar", images=11))) == 11
