import gzip
import io
import tarfile
from pathlib import Path
from typing import cast

import pytest

from tests.data.forms import tar_bytes
from tests.support.samples import encoded, picture
from xception import platforms
from xception.data.files import Stored
from xception.data.inventory import Inventory
from xception.data.shards import expand_braces
from xception.data.source import Lazy
from xception.data.sources import open_source
from xception.errors import InputError

IMAGE = encoded(picture())


def write(folder: Path, members: dict[str, bytes], name: str = "s-0.tar") -> str:
    (folder / name).write_bytes(tar_bytes(members))
    return str(folder / name)


def sample(key: str, target: int = 0) -> dict[str, bytes]:
    return {f"{key}.jpg": IMAGE, f"{key}.cls": str(target).encode()}


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("a.tar", ["a.tar"]),
        ("a-{8..10}", ["a-8", "a-9", "a-10"]),
        ("{098..100}", ["098", "099", "100"]),
        ("{0..1}/x-{00..01}.tar", ["0/x-00.tar", "0/x-01.tar", "1/x-00.tar", "1/x-01.tar"]),
        ("{a..b}.tar", ["{a..b}.tar"]),
    ],
)
def test_a_range_stands_for_its_names(pattern: str, expected: list[str]) -> None:
    assert expand_braces(pattern) == expected


def test_a_range_beyond_all_measure_is_refused() -> None:
    with pytest.raises(InputError, match="files; expected 1,000,000 at most"):
        expand_braces("a-{0..99999999999}.tar")


def test_a_range_that_runs_backwards_is_refused() -> None:
    with pytest.raises(InputError, match=r"\{3\.\.1\} of a-\{3\.\.1\}\.tar runs backwards"):
        expand_braces("a-{3..1}.tar")


def test_items_are_in_order_of_shard_and_place_and_have_both_in_their_keys(tmp_path: Path) -> None:
    write(tmp_path, sample("b", 1) | sample("a", 0), "s-0.tar")
    write(tmp_path, sample("deep/er/c", 2), "s-1.tar")
    source = open_source(f"{tmp_path}/s-{{0..1}}.tar")
    assert [(item.key, item.target) for item in source] == [("s-0/b", 1), ("s-0/a", 0), ("s-1/deep/er/c", 2)]
    assert source[2].load() == IMAGE
    assert (source.name, source.classes) == ("s-{0..1}.tar", ("#0", "#1", "#2"))


def test_a_sample_may_have_files_of_any_kinds_in_any_order(tmp_path: Path) -> None:
    members = {"./k.json": b"{}", "./k.CLS": b" 3\n", "./k.seg.png": b"mask", "./k.JPG": IMAGE, "./._k.jpg": b"junk"}
    source = open_source(write(tmp_path, members | {"README": b"text"}))
    assert [(item.key, item.target, item.load()) for item in source] == [("s-0/k", 3, IMAGE)]


def test_long_names_are_read(tmp_path: Path) -> None:
    key = "k" * 300
    assert open_source(write(tmp_path, sample(key)))[0].key == f"s-0/{key}"


def test_class_names_come_from_labels_beside_the_shards(tmp_path: Path) -> None:
    data = write(tmp_path, sample("a", 1))
    (tmp_path / "classes.txt").write_text("n1\tcat\nn2\tdog\n")
    assert open_source(data).classes == ("n1", "n2")
    write(tmp_path, sample("a", 2))
    with pytest.raises(InputError, match=r"classes\.txt names 2 classes, but the data use 3"):
        open_source(data)


def test_an_image_that_cannot_be_decoded_is_an_item_like_any_other(tmp_path: Path) -> None:
    source = open_source(write(tmp_path, {"a.jpg": b"", "a.cls": b"0"}))
    assert source[0].load() == b""


@pytest.mark.parametrize("text", [b"1\r\n", b"\xef\xbb\xbf1", "1\r\n".encode("utf-16")])
def test_a_class_is_read_as_programs_of_windows_write_it(text: bytes, tmp_path: Path) -> None:
    (item,) = open_source(write(tmp_path, {"a.jpg": IMAGE, "a.cls": text}))
    assert item.target == 1


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"a.cls": b"0"}, r"the sample a in .*s-0\.tar consists of \.cls; expected one image"),
        ({"a.jpg": IMAGE}, r"consists of \.jpg; .*its class in a\.cls"),
        (sample("a") | {"a.png": IMAGE}, "expected one image"),
        ({"a.jpg": IMAGE, "a.cls": b"1.5"}, "the class of a in .* is '1.5'; expected an index"),
        (
            sample("b") | {"a.jpg": IMAGE, "a.cls": b"cat"},
            "is 'cat' and that of .* is '0'; expected indices",
        ),
        ({"a.jpg": IMAGE, "a.json": b'{"width": 3}'}, "or as 'label' in a.json"),
        ({"a.jpg": IMAGE, "a.cls": b"-1"}, "is '-1'"),
        ({"a.jpg": IMAGE, "a.cls": b"1" * 100}, "a long text"),
        ({"a.jpg": IMAGE, "a.cls": "löwe".encode("latin-1")}, "no UTF-8 text"),
        ({"a.jpg": IMAGE, "a.JPG": IMAGE, "a.cls": b"1"}, "expected one image"),
        (sample("a") | sample("b") | {"a.txt": b""}, "the key a comes again"),
        ({}, "holds no samples"),
    ],
)
def test_samples_that_are_not_one_image_and_one_class_are_refused(
    members: dict[str, bytes], message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        open_source(write(tmp_path, members))


def test_a_key_that_comes_again_in_another_shard_is_another_sample(tmp_path: Path) -> None:
    write(tmp_path, sample("a"), "s-0.tar")
    write(tmp_path, sample("a"), "s-1.tar")
    assert [item.key for item in open_source(str(tmp_path))] == ["s-0/a", "s-1/a"]


def test_a_copy_of_a_shard_is_counted_again_and_said(tmp_path: Path, remarks: list[str]) -> None:
    for name in ("s-0.tar", "s-1.tar"):
        write(tmp_path, sample("a") | sample("b") | {"._a.png": b"x"}, name)
    write(tmp_path, sample("a", 1) | sample("b"), "s-2.tar")
    source = open_source(tmp_path)
    assert len(source) == 6
    assert source.inventory == Inventory(repeated=2, left_out={"system files": 2})  # type: ignore[attr-defined]
    assert "2 images are there more than once" in remarks[-1]


def test_a_missing_shard_of_a_range_is_named(tmp_path: Path) -> None:
    write(tmp_path, sample("a"), "s-0.tar")
    write(tmp_path, sample("b"), "s-2.tar")
    with pytest.raises(InputError, match=r"s-1\.tar does not exist"):
        open_source(f"{tmp_path}/s-{{0..2}}.tar")


WHOLE = tar_bytes(sample("a") | sample("b"))
MEMBER = 512 + -(-len(IMAGE) // 512) * 512


@pytest.mark.parametrize(
    "length", [0, 100, 600, MEMBER, MEMBER + 100, MEMBER + 512 + 1, 2 * MEMBER, 2 * (MEMBER + 1024)]
)
def test_a_shard_that_was_cut_anywhere_is_refused(length: int, tmp_path: Path) -> None:
    (tmp_path / "s.tar").write_bytes(WHOLE[:length])
    with pytest.raises(InputError, match=r"s\.tar (is broken|does not end as a tar file does)"):
        open_source(str(tmp_path / "s.tar"))


def test_a_damaged_header_in_the_middle_is_not_taken_for_the_end(tmp_path: Path) -> None:
    data = bytearray(WHOLE)
    data[MEMBER + 1024 + 150] ^= 1
    (tmp_path / "s.tar").write_bytes(data)
    with pytest.raises(InputError, match="does not end as a tar file does"):
        open_source(str(tmp_path / "s.tar"))


def test_shards_that_were_put_behind_one_another_are_refused(tmp_path: Path) -> None:
    (tmp_path / "s.tar").write_bytes(tar_bytes(sample("a"))[: MEMBER + 2048] + tar_bytes(sample("b")))
    with pytest.raises(InputError, match="does not end as a tar file does"):
        open_source(str(tmp_path / "s.tar"))


@pytest.mark.parametrize(
    ("name", "message"), [("s.tar", "compressed"), ("s.tar.gz", "is compressed.*decompress it first")]
)
def test_compressed_shards_are_refused(name: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(gzip.compress(WHOLE))
    with pytest.raises(InputError, match=message):
        open_source(str(tmp_path / name))


def test_a_link_in_a_shard_is_refused(tmp_path: Path) -> None:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        entry = tarfile.TarInfo("a.jpg")
        entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(entry)
    (tmp_path / "s.tar").write_bytes(file.getvalue())
    with pytest.raises(InputError, match=r"holds a\.jpg, which is a link or device"):
        open_source(str(tmp_path / "s.tar"))


def test_a_shard_that_was_cut_later_fails_where_it_is_read(tmp_path: Path) -> None:
    data = write(tmp_path, sample("a"))
    source = open_source(data)
    Path(data).write_bytes(b"")
    with pytest.raises(OSError, match="ends early"):
        source[0].load()


def test_shards_of_several_splits_are_not_mixed(tmp_path: Path) -> None:
    write(tmp_path, sample("a") | sample("b"), "train-000.tar")
    write(tmp_path, sample("c"), "val-000.tar")
    assert [item.key for item in open_source(f"{tmp_path}:train")] == ["train-000/a", "train-000/b"]
    assert [item.key for item in open_source(f"{tmp_path}:validation")] == ["val-000/c"]
    assert open_source(f"{tmp_path}:test").name == f"{tmp_path.name}:test"
    with pytest.raises(InputError, match="holds the splits train, val; write"):
        open_source(str(tmp_path))
    write(tmp_path, sample("d"), "value-000.tar")
    assert len(open_source(f"{tmp_path}:validation")) == 1


def test_shards_are_shared_out_between_training_and_validation(tmp_path: Path) -> None:
    members = {name: data for index in range(100) for name, data in sample(f"{index:03d}").items()}
    data = write(tmp_path, members)
    train, validation, test = (
        {item.key for item in open_source(f"{data}:{split}")} for split in ("train", "validation", "test")
    )
    assert train | validation == test
    assert not train & validation
    assert 2 <= len(validation) <= 25


@pytest.mark.parametrize("name", ["label", "class_id", "cls"])
def test_a_record_may_state_the_class(name: str, tmp_path: Path) -> None:
    members = {"a.jpg": IMAGE, "a.json": f'{{"{name}": 2, "width": 9}}'.encode(), "b.jpg": IMAGE, "b.json": b"[1]"}
    data = write(tmp_path, members | {"b.cls": b"1"})
    assert [(item.key, item.target) for item in open_source(data)] == [("s-0/a", 2), ("s-0/b", 1)]


def test_classes_may_be_stated_by_name(tmp_path: Path) -> None:
    data = write(tmp_path, {"a.jpg": IMAGE, "a.cls": "löwe".encode(), "b.jpg": IMAGE, "b.json": b'{"label": "ant"}'})
    source = open_source(data)
    assert (source.classes, [item.target for item in source]) == (("ant", "löwe"), [1, 0])


def test_a_folder_of_compressed_shards_is_told_from_one_without_classes(tmp_path: Path) -> None:
    (tmp_path / "s-0.tar.gz").write_bytes(gzip.compress(WHOLE))
    with pytest.raises(InputError, match=r"s-0\.tar\.gz is compressed"):
        open_source(tmp_path)


def test_samples_that_are_read_next_are_fetched_shard_by_shard_and_from_front_to_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(2):
        members = {f"{key}.{suffix}": data for key in "abcd" for suffix, data in (("jpg", b"x" * 700), ("cls", b"0"))}
        (tmp_path / f"s-{number}.tar").write_bytes(tar_bytes(members))
    source = open_source(f"{tmp_path}/s-{{0..1}}.tar")
    fetched: list[list[tuple[int, int]]] = []
    monkeypatch.setattr(platforms, "fetch_ahead", lambda _, spans: fetched.append(list(spans)))
    assert isinstance(source, Lazy)
    source.fetch_ahead([6, 1, 4, 3])
    spans = [(load.start, load.length) for load in (cast(Stored, item.load) for item in source)]
    assert fetched == [[spans[1], spans[3]], [spans[4], spans[6]]]


def test_a_shard_that_is_gone_is_not_missed_before_it_is_read(tmp_path: Path) -> None:
    shard = tmp_path / "s-0.tar"
    shard.write_bytes(tar_bytes({"a.jpg": b"x", "a.cls": b"0"}))
    source = open_source(str(shard))
    assert isinstance(source, Lazy)
    shard.unlink()
    source.fetch_ahead([0])
    with pytest.raises(OSError, match=r"s-0\.tar"):
        source[0].load()
