"""The benchmark of object storage, on few images, and the server that it has for it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from s3fs import S3FileSystem

from benchmarks import object_storage
from benchmarks.object_storage import BUCKET, Round, as_table, measure, storage, write_images
from xception.bundle import Bundle
from xception.data.files import LocalFiles
from xception.data.remote import RemoteFiles
from xception.pipeline.engine import Engine


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the data; what the benchmark changes in the environment is as before afterwards."""
    for name in ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
        monkeypatch.setenv(name, "")
    write_images(tmp_path / BUCKET, 32)
    S3FileSystem.clear_instance_cache()
    yield tmp_path
    S3FileSystem.clear_instance_cache()


def test_the_quick_server_has_the_objects_of_a_folder_and_every_form_is_run(folder: Path, onnx_bundle: Bundle) -> None:
    with storage(folder, "quick", latency_ms=0) as server, Engine.open(onnx_bundle) as engine:
        there, here = RemoteFiles(f"s3://{BUCKET}"), LocalFiles(folder / BUCKET)
        assert list(there.names()) == list(here.names())
        assert there.entries() == here.entries()
        for name in here.names():
            assert (there.read(name), there.size(name)) == (here.read(name), here.size(name))
        assert there.span("images-000000.tar", 500, 700) == here.span("images-000000.tar", 500, 700)
        with pytest.raises(FileNotFoundError):
            there.read("none.jpg")
        rounds = measure(engine, {"local": str(folder / BUCKET), "storage": f"s3://{BUCKET}"}, 1, server)
    assert {form: {place: len(row) for place, row in rows.items()} for form, rows in rounds.items()} == {
        form: {"local": 1, "storage": 1} for form in object_storage.FORMS
    }


def test_the_table_compares_rounds_and_says_where_the_processor_time_went() -> None:
    local = [Round(images_per_s=100, own_ms=10, server_ms=0), Round(images_per_s=200, own_ms=8, server_ms=0)]
    far = [Round(images_per_s=90, own_ms=11, server_ms=3), Round(images_per_s=100, own_ms=11, server_ms=1)]
    row = as_table({"files": {"local": local, "storage": far}}).splitlines()[-1]
    assert row == (
        "| files | 150 (100 to 200) | 95 (90 to 100) | 0.70 (0.50 to 0.90) | "
        "9.00 ms local; 11.00 ms, and 2.00 ms of the server |"
    )
