from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from tests.support.samples import CLASSES, labelled
from xception.bundle import Bundle
from xception.data.source import Item, Items
from xception.errors import InputError, UsageError
from xception.pipeline.engine import Engine
from xception.tasks import batch
from xception.tasks.batch import BatchSummary
from xception.tasks.image_results import read_image_results


@pytest.fixture
def engine(onnx_bundle: Bundle) -> Iterator[Engine]:
    with Engine.open(onnx_bundle) as opened:
        yield opened


def predict_to_file(engine: Engine, source: Items, out: Path, **options: object) -> BatchSummary:
    return batch.predict_to_file(engine, source, out, images_per_shard=4, **options)


class Killed(Exception):
    pass


def dying(source: Items, at: int) -> Items:
    """The same images, of which loading one ends the run, as a kill would."""

    def die() -> bytes:
        raise Killed

    items = tuple(replace(item, load=die) if number == at else item for number, item in enumerate(source.items))
    return Items(source.name, source.classes, items)


@pytest.mark.parametrize("form", ["parquet", "jsonl", "jsonl.gz", "csv"])
def test_a_run_that_is_killed_twice_is_continued_and_has_every_image_once(
    form: str, engine: Engine, tmp_path: Path
) -> None:
    source, out = labelled(30, broken=(5, 17)), tmp_path / f"answers.{form}"
    expected = predict_to_file(engine, source, tmp_path / f"whole.{form}")
    for at in (11, 23):
        with pytest.raises(Killed):
            predict_to_file(replace(engine, workers=1), dying(source, at), out)
        assert not out.exists()
    done: list[int] = []
    summary = predict_to_file(engine, source, out, on_images=done.append)
    assert out.read_bytes() == (tmp_path / f"whole.{form}").read_bytes()
    assert (summary.total, summary.seen, summary.failed) == (30, 28, 2)
    assert summary.resumed == done[0]
    assert summary.resumed >= 8
    assert sum(done) == 30
    assert summary.provenance.data == expected.provenance.data
    rows = list(read_image_results(out))
    assert [row.key for row in rows] == [item.key for item in source]
    assert [row.label for row in rows] == [CLASSES[item.target] for item in source if item.target is not None]
    assert [row.key for row in rows if row.failure] == ["005", "017"]
    assert sorted(path.name for path in tmp_path.iterdir() if "answers" in path.name) == [out.name, f"{out.name}.json"]
    kept = msgspec.json.decode((tmp_path / f"{out.name}.json").read_bytes(), type=BatchSummary)
    assert kept == summary


def test_answers_are_those_of_the_engine(engine: Engine, tmp_path: Path) -> None:
    source = labelled(6)
    predict_to_file(engine, source, tmp_path / "a.jsonl", top=3, logits=True)
    for row, expected in zip(read_image_results(tmp_path / "a.jsonl"), engine.predict(source, top=3), strict=True):
        assert row.labels == tuple(guess.label for guess in expected.top)
        assert row.scores == tuple(guess.probability for guess in expected.top)
        assert row.logits is not None
        assert len(row.logits) == len(CLASSES)


def test_with_a_threshold_the_rows_name_all_classes_that_reach_it(engine: Engine, tmp_path: Path) -> None:
    source = labelled(12)
    predict_to_file(engine, source, tmp_path / "all.jsonl", top=len(CLASSES))
    everything = list(read_image_results(tmp_path / "all.jsonl"))
    best = sorted(row.score for row in everything if row.score is not None)
    threshold = best[4]
    for form in ("jsonl", "csv", "parquet"):
        predict_to_file(engine, source, tmp_path / f"some.{form}", threshold=threshold)
        for row, whole in zip(read_image_results(tmp_path / f"some.{form}"), everything, strict=True):
            taken = sum(score >= threshold for score in whole.scores)
            assert (row.labels, row.scores) == (whole.labels[:taken], whole.scores[:taken])
            assert (row.predicted, row.score) == ((whole.predicted, whole.score) if taken else (None, None))
    assert [row.predicted for row in everything].count(None) == 0
    assert [row.predicted for row in read_image_results(tmp_path / "some.csv")].count(None) == 4
    with pytest.raises(UsageError, match="expected a probability between 0 and 1"):
        predict_to_file(engine, source, tmp_path / "none.jsonl", threshold=1.5)


def test_parts_of_another_job_are_refused(engine: Engine, tmp_path: Path) -> None:
    out = tmp_path / "a.jsonl"
    with pytest.raises(Killed):
        predict_to_file(engine, dying(labelled(9), 7), out)
    with pytest.raises(InputError, match="another plan"):
        predict_to_file(engine, labelled(9), out, top=2)
    with pytest.raises(InputError, match=r"threshold is None there and 0\.5 here"):
        predict_to_file(engine, labelled(9), out, threshold=0.5)
    with pytest.raises(InputError, match="another plan"):
        predict_to_file(engine, labelled(10), out)
    predict_to_file(engine, labelled(9), out)
    with pytest.raises(InputError, match="is there already"):
        predict_to_file(engine, labelled(9), out)


def test_images_without_labels_and_of_other_classes_have_no_target(engine: Engine, tmp_path: Path) -> None:
    items = tuple(Item(item.key, None, item.load) for item in labelled(3))
    predict_to_file(engine, Items("files", (), items), tmp_path / "a.jsonl")
    assert {(row.label, row.target) for row in read_image_results(tmp_path / "a.jsonl")} == {(None, None)}
    others = Items("others", ("x", "y"), tuple(replace(item, target=1) for item in labelled(3)))
    predict_to_file(engine, others, tmp_path / "b.jsonl")
    assert {(row.label, row.target) for row in read_image_results(tmp_path / "b.jsonl")} == {("y", None)}
