"""Data whose images may have several classes each, in every form that can state them."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tests.data.test_list_file import write
from tests.data.test_shards import write as write_shard
from tests.support.samples import encoded, picture
from xception.data.hold_out import HoldOut, divide
from xception.data.memory import in_memory
from xception.data.source import Item, Lazy, Target, indices_of, is_multi_label
from xception.data.sources import open_source
from xception.errors import InputError

IMAGES = ("a.png", "b.png", "c.png")
FOUND: list[tuple[str, Target | None]] = [("a.png", (0, 2)), ("b.png", (1,)), ("c.png", ())]
"""Of the classes ant, bee and cow: ant and cow, bee, none."""


def opened(place: Path, text: str, labels: str = "") -> tuple[tuple[str, ...], list[tuple[str, Target | None]]]:
    source = open_source(str(Path(write(place, text, *IMAGES, labels=labels)).rename(place / "list.csv")))
    assert is_multi_label(source)
    return source.classes, [(item.key, item.target) for item in source]


@pytest.mark.parametrize(
    "text",
    [
        "image,label\na.png,cow|ant\nb.png,bee\nc.png,\n",
        "image,label\na.png,cow;ant\nb.png,bee\nc.png,\n",
        "Image Index\tFinding Labels\na.png\tant|cow|ant\nb.png\tbee\nc.png\t\n",
        "image_name,tags\na,ant cow\nb,bee\nc,\n",
        'image_name;categories\na.png;"ant,cow"\nb.png;bee\nc.png;\n',
        "path,ant,bee,cow\na.png,1,0,1\nb.png,0,1,0\nc.png,0,0,0\n",
        "ant,Path,bee,cow\n1.0,a.png,,1.0\n,b.png,1.0,0.0\n,c.png,,\n",
    ],
)
def test_a_table_states_sets_with_a_separator_or_with_a_column_per_class(tmp_path: Path, text: str) -> None:
    assert opened(tmp_path, text) == (("ant", "bee", "cow"), FOUND)


def test_lines_without_a_head_state_sets_by_name_or_by_index(tmp_path: Path) -> None:
    assert opened(tmp_path, "a.png ant|cow\nb.png bee\n")[1] == FOUND[:2]
    classes, found = opened(tmp_path, "a.png\t2|0\nb.png\t1\n", labels="ant\nbee\ncow\n")
    assert (classes, found) == (("ant", "bee", "cow"), FOUND[:2])


def test_a_label_file_tells_the_columns_of_classes_and_their_order(tmp_path: Path) -> None:
    text = "Path,Sex,Age,cow,ant\na.png,F,40,1,1\nb.png,M,1,0,0\n"
    assert opened(tmp_path, text, labels="ant\ncow\n") == (("ant", "cow"), [("a.png", (0, 1)), ("b.png", ())])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,ant,bee,age\na.png,1,0,40\n", r"columns of 0 and 1, such as 'ant', and others, such as 'age'; .*labels"),
        ("image,tags\na.png,ant|cow;bee\n", r"holds '\|' and ';', of which one may separate"),
        ("path,ant,bee\na.png,1,0\nb.png,1\n", r"columns of 0 and 1, such as 'ant', and others, such as 'bee'"),
        ("path,ant,bee\na.png,1,0\nb.png,-1.0,0\n", r"and others, such as 'ant'"),
        ("image,tags\na.png,\"['ant', 'cow']\"\n", r"line 2 of .*cow.*expected a path"),
        ("image,label\na.png,ant|3\n", "expected indices everywhere, or names"),
    ],
)
def test_a_table_that_can_be_read_in_two_ways_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        opened(tmp_path, text)


def test_names_with_spaces_commas_and_a_semicolon_stay_one_class_where_nothing_separates(tmp_path: Path) -> None:
    data = write(tmp_path, 'image,labels\na.png,sea lion\nb.png,"tench, Tinca"\n', "a.png", "b.png")
    source = open_source(str(Path(data).rename(tmp_path / "list.csv")))
    assert not is_multi_label(source)
    assert source.classes == ("sea lion", "tench, Tinca")


def test_a_list_of_imagenet_images_may_state_classes_by_name(tmp_path: Path) -> None:
    name = "ILSVRC2012_val_00000001.JPEG"
    source = open_source(write(tmp_path, f"{name},fish\n", name))
    assert (source.classes, source[0].target) == (("fish",), 0)


def test_a_label_file_of_a_folder_states_one_class_per_image(tmp_path: Path) -> None:
    write(tmp_path, "a.png ant|cow\n", "a.png")
    (tmp_path / "list.txt").rename(tmp_path / "val_label.txt")
    with pytest.raises(InputError, match="states several classes for an image"):
        open_source(str(tmp_path))


def test_shards_state_sets_in_records_and_in_class_files(tmp_path: Path) -> None:
    image = encoded(picture())
    samples = {"a.png": image, "a.json": json.dumps({"tags": ["cow", "ant"]}).encode()}
    samples |= {"b.png": image, "b.json": json.dumps({"label": ["bee"]}).encode()}
    samples |= {"c.png": image, "c.json": b'{"labels": []}', "d.png": image, "d.cls": b"bee|ant"}
    source = open_source(write_shard(tmp_path, samples))
    assert source.classes == ("ant", "bee", "cow")
    assert [item.target for item in source] == [(0, 2), (1,), (), (0, 1)]


@pytest.mark.parametrize("named", [True, False])
def test_parquet_files_state_sets_as_lists_of_names_or_of_indices(tmp_path: Path, *, named: bool) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    values: list[list[str] | list[int] | None] = (
        [["cow", "ant"], ["bee"], [], None] if named else [[2, 0], [1], [], None]
    )
    table = pa.table({"image": [encoded(picture())] * 4, "labels": values})
    feature = {"feature": {"names": ["ant", "bee", "cow"], "_type": "ClassLabel"}, "_type": "Sequence"}
    if not named:
        notes = {"info": {"features": {"image": {"_type": "Image"}, "labels": feature}}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(notes)})
    pq.write_table(table, tmp_path / "x.parquet")
    source = open_source(str(tmp_path / "x.parquet"))
    assert source.classes == ("ant", "bee", "cow")
    assert [item.target for item in source] == [(0, 2), (1,), (), None]


def test_images_in_memory_have_sets_or_rows_of_zeros_and_ones() -> None:
    images, hot = np.zeros((2, 4, 4, 3), np.uint8), np.array([[1, 0, 1], [0, 0, 0]])
    for targets in (hot, [(2, 0), ()], [{0, 2}, set()]):
        source = in_memory(images, targets, ("ant", "bee", "cow"))
        assert [item.target for item in source] == [(0, 2), ()]
    with pytest.raises(InputError, match=r"expected \(N, 3\) zeros and ones"):
        in_memory(images, hot[:, :2], ("ant", "bee", "cow"))
    with pytest.raises(InputError, match="the target 3 is none of 3 classes"):
        in_memory(images, [(3,), ()], ("ant", "bee", "cow"))


def sets(count: int, classes: int, seed: int = 0) -> list[tuple[int, ...]]:
    """Sets in which class k is about half as frequent as class k - 1, and goes along with the one before it."""
    rng = np.random.Generator(np.random.PCG64(seed))
    chances = 0.5 ** np.arange(1, classes + 1)
    drawn = rng.random((count, classes)) < chances
    drawn[:, 1:] |= drawn[:, :-1] & (rng.random((count, classes - 1)) < 0.2 * chances[1:])
    return [tuple(map(int, np.flatnonzero(row))) for row in drawn]


def lazy(found: list[tuple[int, ...]], classes: int) -> Lazy:
    names = tuple(f"c{index}" for index in range(classes))
    return Lazy("data", names, range(len(found)), lambda index: Item(f"g{index % 40}/{index}", found[index], bytes))


def counts(part: Lazy) -> Counter[int]:
    return Counter(index for item in part for index in indices_of(item.target))


def test_a_hold_out_has_the_share_of_every_class() -> None:
    found = sets(1000, 6)
    whole = lazy(found, 6)
    parts = divide(whole, HoldOut(share=0.2))
    total, out = counts(whole), counts(parts.held_out)
    assert all(abs(out[index] - 0.2 * total[index]) <= 1 for index in range(6)), (out, total)
    assert abs(len(parts.held_out) - 200) <= 10
    rare = min(total.values())
    assert counts(divide(whole).held_out)[5] == min(5, -(-rare // 5))


def test_folds_are_nearer_to_their_shares_than_random_ones() -> None:
    whole, folds = lazy(sets(600, 8, seed=1), 8), 5
    parts = [divide(whole, HoldOut(fold=f"{place}/{folds}")).held_out for place in range(1, folds + 1)]
    keys = [item.key for part in parts for item in part]
    assert sorted(keys) == sorted(item.key for item in whole)
    total = counts(whole)
    for part in parts:
        assert abs(len(part) - 120) <= 6
        assert all(abs(counts(part)[index] - total[index] / folds) <= 1.2 for index in range(8))


def test_the_choice_does_not_depend_on_the_order_of_the_images() -> None:
    found = sets(200, 4)
    whole = lazy(found, 4)
    turned = Lazy("data", whole.classes, range(199, -1, -1), whole.make)
    chosen, again = ({item.key for item in divide(each).held_out} for each in (whole, turned))
    assert chosen == again


def test_groups_of_multi_label_images_stay_whole() -> None:
    whole = lazy(sets(800, 4), 4)
    parts = divide(whole, HoldOut(share=0.25, group_pattern="^g[0-9]+"))
    training, out = ({item.key.partition("/")[0] for item in part} for part in parts)
    assert not training & out
    total, held = counts(whole), counts(parts.held_out)
    assert all(abs(held[index] / total[index] - 0.25) < 0.12 for index in range(4))
