import csv
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.train.samples import EPOCH
from xception.train.logs import CSV, EVENTS, JSON_LINES, TAGS, Epoch, median_speed, read_history, write_logs
from xception.train.storage import open_storage

NEXT = msgspec.structs.replace(EPOCH, epoch=2, steps=6, validation_loss=0.25, seconds=1.5)
STARTED_AT = 1.7e9


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_logs(open_storage(tmp_path), [EPOCH, NEXT], STARTED_AT)
    return tmp_path


def test_json_lines_hold_the_rows(folder: Path) -> None:
    lines = (folder / JSON_LINES).read_bytes().splitlines()
    assert [msgspec.json.decode(line, type=Epoch) for line in lines] == [EPOCH, NEXT]


def test_the_csv_holds_the_rows_under_their_names(folder: Path) -> None:
    rows = list(csv.DictReader((folder / CSV).read_text().splitlines()))
    assert list(rows[0]) == list(Epoch.__struct_fields__)
    assert [float(row["train_loss"]) for row in rows] == [EPOCH.train_loss, NEXT.train_loss]
    assert rows[0]["validation_loss"] == ""


def test_tensorboard_reads_its_events(folder: Path) -> None:
    events = loaded(folder / EVENTS)
    assert events[0].file_version == "brain.Event:2"
    assert [(event.step, event.wall_time) for event in events[1:]] == [(3, STARTED_AT + 0.5), (6, STARTED_AT + 1.5)]
    last = {value.tag: value.simple_value or value.tensor.float_val[0] for value in events[2].summary.value}
    figures = msgspec.structs.asdict(NEXT)
    assert last.keys() == {tag for tag, column in TAGS.items() if figures[column] is not None}
    assert (last["validation/loss"], last["validation/top1"]) == (0.25, pytest.approx(0.1))


def test_a_log_grows_at_its_end_only(folder: Path) -> None:
    before = {name: (folder / name).read_bytes() for name in (JSON_LINES, CSV, EVENTS)}
    write_logs(open_storage(folder), [EPOCH, NEXT, msgspec.structs.replace(NEXT, epoch=3)], STARTED_AT)
    for name, content in before.items():
        now = (folder / name).read_bytes()
        assert now.startswith(content)
        assert len(now) > len(content)


def loaded(path: Path) -> list[Any]:
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    return list(EventFileLoader(str(path)).Load())


def test_the_log_is_read_as_it_was_written(folder: Path) -> None:
    assert read_history(open_storage(folder)) == (EPOCH, NEXT)


def test_the_speed_of_a_run_is_the_median_of_its_epochs_per_device() -> None:
    assert median_speed([]) is None
    rows = [
        msgspec.structs.replace(EPOCH, images_per_second=rate, ms_per_step=ms, devices=2)
        for rate, ms in ((80.0, 10.0), (100.0, 20.0), (400.0, 30.0))
    ]
    assert str(median_speed(rows)) == "20.0 ms/step, 50.0 images/s per device, 2 devices"
    assert str(median_speed([EPOCH])) == "9.0 ms/step, 99.5 images/s per device, 1 device"
