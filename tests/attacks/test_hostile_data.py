"""Data that ask for more than this machine should give, or for a program to be started: each ends as one sentence."""

import gzip
import io
import json
import os
import resource
import struct
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from xception.data.decode import IMAGE_FORMATS, decode
from xception.data.files import PILLOW_SUFFIXES
from xception.data.ground_truth import read_truth
from xception.data.sources import open_source
from xception.errors import DecodeError, InputError

MAX_GROWTH_BYTES = 1 << 30

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n%%EndComments\n%%Page: 1 1\nshowpage\n%%EOF\n"


@contextmanager
def little_memory() -> Iterator[None]:
    """At most 1 GB more address space than is in use."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + MAX_GROWTH_BYTES, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def refusal(data: str | Path) -> str:
    """The sentence with which data are refused, when they are opened or when the first image is read."""
    with little_memory(), pytest.raises((InputError, OSError)) as error:
        open_source(str(data))[0].load()
    return str(error.value)


def one_image() -> bytes:
    file = io.BytesIO()
    Image.new("L", (4, 4)).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("content", [EPS, b"\xc5\xd0\xd3\xc6" + struct.pack("<II", 30, len(EPS)) + bytes(18) + EPS])
def test_postscript_starts_no_program(content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gs").write_text("#!/bin/sh\ntouch " + str(tmp_path / "CANARY") + "\n")
    (tmp_path / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(DecodeError, match="not an image file of a known format"):
        decode(content)
    # The control: Pillow on its own does start it.
    with pytest.raises(OSError), Image.open(io.BytesIO(content)) as image:
        image.load()
    assert (tmp_path / "CANARY").exists()


def test_the_formats_that_are_decoded_are_all_known_to_pillow_and_start_nothing() -> None:
    Image.init()
    assert set(IMAGE_FORMATS.split()) - set(Image.OPEN) <= {"HEIF"}
    assert not {"EPS", "IPTC", "WMF", "PDF"} & set(IMAGE_FORMATS.split())
    formats = {Image.EXTENSION[suffix] for suffix in PILLOW_SUFFIXES.split() if suffix in Image.EXTENSION}
    assert formats <= {*IMAGE_FORMATS.split(), "MPO"}


def parquet_file(folder: Path, name: str = "a.parquet", metadata: Any = None, **columns: Any) -> Path:
    table = pa.table(columns)
    if metadata is not None:
        table = table.replace_schema_metadata({"huggingface": json.dumps(metadata)})
    pq.write_table(table, folder / name, compression="zstd")
    return folder / name


@pytest.mark.parametrize("label", [1 << 31, 1 << 62, 1_000_000, 300_000_000])
def test_a_class_index_beyond_all_classes_is_refused_in_parquet(label: int, tmp_path: Path) -> None:
    assert f"class index {label}" in refusal(parquet_file(tmp_path, image=[one_image()], label=[label]))


def test_a_label_beyond_64_bits_is_refused(tmp_path: Path) -> None:
    label = pa.array([(1 << 64) - 1], pa.uint64())
    assert "class index" in refusal(parquet_file(tmp_path, image=[one_image()], label=label))


def test_a_class_index_beyond_all_classes_is_refused_in_lists_and_shards(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(one_image())
    (tmp_path / "list.txt").write_text("a.png 9999999\n")
    assert "class index 9999999" in refusal(tmp_path / "list.txt")
    with tarfile.open(tmp_path / "s.tar", "w") as archive:
        for name, content in (("k.png", one_image()), ("k.cls", b"9999999")):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    assert "class index 9999999" in refusal(tmp_path / "s.tar")


def test_rows_that_share_a_large_image_are_in_memory_once(tmp_path: Path) -> None:
    image = pa.DictionaryArray.from_arrays(pa.array([0] * 80, pa.int32()), pa.array([bytes(20_000_000)]))
    table = pa.table({"image": image, "label": [0] * 80})
    # As a reader finds it that knows nothing of Arrow's types: plain bytes in every row.
    file = tmp_path / "a.parquet"
    pq.write_table(table, file, compression="zstd", store_schema=False)
    assert file.stat().st_size < 10_000
    with little_memory():
        assert len(open_source(str(file))[79].load()) == 20_000_000


@pytest.mark.parametrize(
    "features",
    [
        {"label": {"_type": "ClassLabel", "names": 5}},
        {"label": {"_type": "ClassLabel", "names": {"x": "cat"}}},
        {"label": {"_type": ["ClassLabel"]}},
        5,
    ],
)
def test_notes_on_columns_of_another_form_count_as_none(features: object, tmp_path: Path) -> None:
    file = parquet_file(tmp_path, metadata={"info": {"features": features}}, image=[one_image()], label=[0])
    assert open_source(str(file)).classes == ("#0",)


def test_notes_that_are_nested_without_end_count_as_none(tmp_path: Path) -> None:
    table = pa.table({"image": [one_image()], "label": [0]})
    pq.write_table(table.replace_schema_metadata({"huggingface": "[" * 200_000}), tmp_path / "a.parquet")
    assert open_source(str(tmp_path / "a.parquet")).classes == ("#0",)


def test_two_columns_of_images_are_refused(tmp_path: Path) -> None:
    table = pa.table(
        [pa.array([one_image()]), pa.array([one_image()]), pa.array([0])], names=["image", "image", "label"]
    )
    pq.write_table(table, tmp_path / "a.parquet")
    assert "has the columns" in refusal(tmp_path / "a.parquet")


@pytest.mark.parametrize("suffix", ["tar", "parquet"])
@pytest.mark.parametrize(
    ("ranges", "words"),
    [
        ("{0..999999}{0..999999}{0..9999}", "names 10,000,000,000,000,000 files"),
        ("{0..99999999}", "names 100,000,000 files"),
        ("{0.." + "9" * 100 + "}", "more than 18 digits"),
    ],
)
def test_ranges_that_stand_for_too_many_files_are_refused(ranges: str, words: str, suffix: str, tmp_path: Path) -> None:
    assert words in refusal(f"{tmp_path}/a-{ranges}.{suffix}")


def test_a_member_that_grows_is_refused_by_what_it_says_and_by_what_it_does(tmp_path: Path) -> None:
    place = tmp_path / "a.zip"
    with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("x/bomb.png", bytes(20 << 20))
    honest = place.read_bytes()
    for stated, words in ((300 << 20, "would grow to 314,572,800 bytes; 268,435,456 are the limit"), (1000, "damaged")):
        place.write_bytes(honest.replace(struct.pack("<I", 20 << 20), struct.pack("<I", stated)))
        assert words in refusal(place)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_member_of_another_method_unpacks_no_more_than_it_says(method: int, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", method) as archive:
        archive.writestr("x/bomb.png", bytes(20 << 20))
    honest = (tmp_path / "a.zip").read_bytes()
    (tmp_path / "a.zip").write_bytes(honest.replace(struct.pack("<I", 20 << 20), struct.pack("<I", 1000)))
    assert "damaged in the archive" in refusal(tmp_path / "a.zip")


def long_name_headers(count: int, size: int = 512) -> bytes:
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, size
    return header.tobuf(tarfile.GNU_FORMAT) + bytes(512) if count == 1 else long_name_headers(1, size) * count


@pytest.mark.parametrize("content", [long_name_headers(3000), long_name_headers(1, 8 << 30)])
def test_headers_of_names_are_bounded(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(content + bytes(10240))
    assert "is broken" in refusal(tmp_path / "a.tar")


def test_a_compressed_kit_is_unpacked_up_to_a_limit(tmp_path: Path) -> None:
    file = tmp_path / "kit.tar.gz"
    with gzip.open(file, "wb", compresslevel=1) as packed:
        header = tarfile.TarInfo("zeros")
        header.size = 300 << 20
        packed.write(header.tobuf())
        for _ in range(300):
            packed.write(bytes(1 << 20))
        packed.write(bytes(10240))
    with little_memory(), pytest.raises(InputError, match="limit"):
        read_truth(str(file))


@pytest.mark.parametrize("name", ["0/z.jpg", "labels.txt", "list.txt"])
@pytest.mark.parametrize("kind", ["pipe", "zero", "loop"])
def test_special_files_among_data_are_failures_in_their_place(name: str, kind: str, tmp_path: Path) -> None:
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "a.png").write_bytes(one_image())
    (tmp_path / "list.txt").write_text("0/a.png 0\n")
    place = tmp_path / name
    place.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(place)
    else:
        place.symlink_to({"zero": "/dev/zero", "loop": place.name}[kind])
    with little_memory(), pytest.raises((OSError, InputError)):
        if name == "0/z.jpg":
            sound, special = open_source(str(tmp_path))
            assert (sound.key, special.key) == ("0/a.png", "0/z.jpg")
            special.load()
        else:
            open_source(str(tmp_path / "list.txt"))


def test_folders_in_a_circle_are_read_once_on_each_way(tmp_path: Path) -> None:
    for name, other in (("a", "b"), ("b", "a")):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.png").write_bytes(one_image())
        (tmp_path / name / other).symlink_to(f"../{other}")
    source = open_source(str(tmp_path))
    assert {item.key for item in source} == {"a/a.png", "a/b/b.png", "b/b.png", "b/a/a.png"}
