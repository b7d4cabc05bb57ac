"""The commands and programs of the pages on object storage and on many machines, in order, with a storage on this
machine; those that need a Ray cluster are not run."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pytest

from tests.cli.conftest import Command
from tests.conftest import S3Server
from tests.data.forms import tar_bytes
from tests.support.lanes import slow_unless
from tests.support.pages import OF_STORAGE, PAGES, blocks, commands, for_a_cluster
from tests.support.samples import encoded
from xception.bundle import Bundle
from xception.data.digits import digits
from xception.data.remote_store import open_store
from xception.tasks.plan import read_batch_manifest

IMAGES, SHARDS = 60, 10

FEW_EPOCHS = ("--set", "epochs=1")
"""Is added to the commands that train, which take long enough."""

TASKS = ("0", "1")
"""The tasks of a job array that are run. The images make one shard, so that all others have nothing to do."""

SLURM_TASK = "SLURM_ARRAY_TASK_ID"


@pytest.fixture(scope="module")
def photos(s3_server: S3Server) -> S3Server:
    """The bucket of the pages, with a folder per digit and the same images in shards."""
    s3_server.bucket("bucket")
    items = list(digits("train"))[:IMAGES]
    images = [encoded(item.load(), "PNG") for item in items]
    files = {
        f"photos/{item.target}/{place}.png": image
        for place, (item, image) in enumerate(zip(items, images, strict=True))
    }
    for shard in range(SHARDS):
        places = range(shard, IMAGES, SHARDS)
        files[f"train-{shard:03d}.tar"] = tar_bytes(
            {
                f"{place}.{suffix}": content
                for place in places
                for suffix, content in (("png", images[place]), ("cls", str(items[place].target).encode()))
            }
        )
    files["labels.txt"] = "\n".join("0123456789").encode()
    for name, content in files.items():
        s3_server.client.put_object(Bucket="bucket", Key=name, Body=content)
    return s3_server


@pytest.fixture
def workplace(
    photos: S3Server, reader: Bundle, tmp_path: Path, surroundings: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """A folder with the bundle that the pages name, and an environment of what they set; results are removed after."""
    (tmp_path / "demo/bundles").mkdir(parents=True)
    (tmp_path / "demo/bundles/onnx").symlink_to(reader.path)
    monkeypatch.chdir(tmp_path)
    known = dict(os.environ)
    for name in known:
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    for name, value in {**{name: known[name] for name in exported()}, **surroundings}.items():
        monkeypatch.setenv(name, value)
    yield tmp_path
    remove(photos.client, "labels/")


def exported() -> list[str]:
    """The variables that the page on object storage sets."""
    words = [line for block in blocks(PAGES[OF_STORAGE[0]], "sh") for line in commands(block) if line[0] == "export"]
    return [word.partition("=")[0] for line in words for word in line[1:]]


def stored(client: Any, prefix: str) -> dict[str, bytes]:
    rows = client.list_objects_v2(Bucket="bucket", Prefix=prefix).get("Contents", ())
    return {row["Key"]: client.get_object(Bucket="bucket", Key=row["Key"])["Body"].read() for row in rows}


def remove(client: Any, prefix: str) -> None:
    for name in stored(client, prefix):
        client.delete_object(Bucket="bucket", Key=name)


def here(page: str, language: str) -> list[str]:
    """The blocks of a page that need no cluster."""
    return [block for block in blocks(PAGES[page], language) if not for_a_cluster(block)]


@pytest.mark.parametrize("page", slow_unless(lambda name: name.endswith("many-machines.md"), OF_STORAGE))
def test_every_command_of_a_page_runs(
    page: str, workplace: Path, photos: S3Server, xception: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = []
    for block in here(page, "sh"):
        remove(photos.client, "labels/")
        for words in commands(block):
            for task in TASKS if any(SLURM_TASK in word for word in words) else TASKS[:1]:
                monkeypatch.setenv(SLURM_TASK, task)
                run(words, xception, workplace)
        results.append(stored(photos.client, "labels/"))
    labelled = [result for result in results if result]
    assert labelled
    assert all("labels/manifest.json" in result for result in labelled)
    assert all(result == labelled[0] for result in labelled)


def run(words: list[str], xception: Command, folder: Path) -> None:
    """Run a command, which may only set variables or call `xception`."""
    if words[0] == "export":
        return
    assert words[0] == "xception"
    arguments = [os.path.expandvars(word) for word in words[1:]]
    result = xception(*arguments, *(FEW_EPOCHS if words[1] == "train" else ()), cwd=folder)
    assert result.returncode == 0, f"{words}: {result.stderr}"


def test_the_pages_have_commands_and_programs() -> None:
    assert [sum(map(len, map(commands, here(page, "sh")))) for page in OF_STORAGE] == [7, 3]
    assert len(here(OF_STORAGE[1], "python")) == 2
    assert exported() == ["AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]


@pytest.mark.parametrize("program", here(OF_STORAGE[1], "python"), ids=["by itself", "on Spark"])
def test_every_program_of_a_page_runs(
    program: str, workplace: Path, photos: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SLURM_TASK, TASKS[0])
    for name, module in spark().items():
        monkeypatch.setitem(sys.modules, name, module)
    exec(compile(program, "many-machines.md", "exec"), {})
    manifest = read_batch_manifest(open_store("s3://bucket/labels"))
    assert (manifest.total, manifest.failed) == (IMAGES, 0)


class Frame:
    """A data frame of Spark in two partitions, of which nobody knows when they are computed."""

    def __init__(self, rows: pd.DataFrame) -> None:
        self.rows = rows

    def repartition(self, _: int) -> "Frame":
        return self

    def mapInPandas(  # noqa: N802 - Spark's name
        self, change: Callable[[Iterator[pd.DataFrame]], Iterable[pd.DataFrame]], schema: str
    ) -> "Frame":
        parts = [self.rows.iloc[:0], self.rows]
        found = pd.concat([frame for part in parts for frame in change(iter([part]))])
        assert ", ".join(f"{name} {kind}" for name, kind in zip(found, ("string", "int"), strict=True)) == schema
        return Frame(found)

    def collect(self) -> list[Any]:
        return list(self.rows.itertuples())


def spark() -> dict[str, ModuleType]:
    """The part of Spark that the page's program calls, in this process. A run with Spark itself is on the page."""

    class Session:
        builder: Any

        def getOrCreate(self) -> "Session":  # noqa: N802 - Spark's name
            return self

        def createDataFrame(self, rows: list[tuple[int]], _: str) -> Frame:  # noqa: N802 - Spark's name
            return Frame(pd.DataFrame(rows, columns=["shard"]))

    Session.builder = Session()
    sql: Any = ModuleType("pyspark.sql")
    sql.SparkSession = Session
    return {"pyspark": ModuleType("pyspark"), "pyspark.sql": sql}
