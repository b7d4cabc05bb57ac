"""A data set in which every fault was planted: the check finds them all and nothing else."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest
from PIL import Image

from tests.data import faulty
from tests.support.samples import CLASSES, encoded, labelled, picture
from xception.checks.check import Check, check_source
from xception.checks.findings import FINDING_KINDS, finding
from xception.data.source import Item, Items
from xception.data.sources import open_source


def write(root: Path, files: Mapping[str, bytes]) -> Path:
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def clean(classes: tuple[str, ...] = CLASSES[:3], each: int = 6, first_seed: int = 0) -> dict[str, bytes]:
    return {
        f"{name}/{index}.jpg": faulty.jpeg(first_seed + 50 * number + index)
        for number, name in enumerate(classes)
        for index in range(each)
    }


PLANTED: dict[str, tuple[tuple[str, ...], dict[str, bytes]]] = {
    "empty": (("ant/empty.jpg",), {"ant/empty.jpg": b""}),
    "truncated": (("ant/cut.jpg",), {"ant/cut.jpg": faulty.cut(faulty.jpeg(900))}),
    "corrupt": (("bee/page.jpg",), {"bee/page.jpg": b"<html>not found</html>"}),
    "blank_end": (("bee/closed.jpg",), {"bee/closed.jpg": faulty.closed_again(faulty.jpeg(901))}),
    "wrong_extension": (("cat/png.jpg",), {"cat/png.jpg": encoded(picture(seed=902))}),
    "exif_rotated": (("cat/turned.jpg",), {"cat/turned.jpg": faulty.turned(903)}),
    "cmyk": (("ant/cmyk.jpg",), {"ant/cmyk.jpg": encoded(picture(seed=904, mode="CMYK"), "JPEG")}),
    "sixteen_bit": (("ant/deep.png",), {"ant/deep.png": faulty.sixteen_bit_rgb(905)}),
    "tiny": (("bee/tiny.png",), {"bee/tiny.png": encoded(picture(8, 9, 906))}),
    "exact_duplicate": (("bee/0.jpg", "bee/again.jpg"), {"bee/again.jpg": faulty.jpeg(50)}),
    "conflicting_labels": (("ant/1.jpg", "cat/same.jpg"), {"cat/same.jpg": faulty.jpeg(1)}),
    "near_duplicate": (("cat/0.jpg", "cat/smaller.jpg"), {"cat/smaller.jpg": faulty.resaved(100)}),
    "grayscale": (("ant/gray.png",), {"ant/gray.png": encoded(picture(seed=907, mode="L"))}),
    "transparent": (("bee/clear.png",), {"bee/clear.png": encoded(picture(seed=908, mode="RGBA"))}),
    "palette": (("cat/few.png",), {"cat/few.png": encoded(picture(seed=909, mode="P"))}),
}
"""By kind: the paths that have to be named, and the files that are added to a clean set."""


def kinds(result: Check) -> dict[str, list[tuple[str, ...]]]:
    found: dict[str, list[tuple[str, ...]]] = {}
    for each in result.findings:
        found.setdefault(each.kind, []).append(each.paths)
    return found


def test_a_clean_set_has_nothing_to_report(tmp_path: Path) -> None:
    result = check_source(open_source(str(write(tmp_path, clean()))))
    assert (result.findings, result.errors) == ((), 0)
    assert (result.total, result.seen, result.failed) == (18, 18, 0)
    assert result.classes == {"ant": 6, "bee": 6, "cat": 6}
    assert (result.formats, result.modes) == ({"JPEG": 18}, {"RGB": 18})


def test_every_planted_fault_is_found_and_no_other(tmp_path: Path) -> None:
    files = clean()
    for _, planted in PLANTED.values():
        files |= planted
    result = check_source(open_source(str(write(tmp_path, files))))
    assert kinds(result) == {kind: [paths] for kind, (paths, _) in PLANTED.items()}
    assert result.counts == dict.fromkeys(PLANTED, 1)
    assert result.errors == sum(FINDING_KINDS[kind].severity == "error" for kind in PLANTED)
    assert (result.total, result.seen, result.failed) == (len(files), len(files) - 3, 3)


@pytest.mark.parametrize("kind", PLANTED)
def test_one_planted_fault_alone_is_found(tmp_path: Path, kind: str) -> None:
    paths, planted = PLANTED[kind]
    result = check_source(open_source(str(write(tmp_path, clean() | planted))))
    assert kinds(result) == {kind: [paths]}
    assert [each.severity for each in result.findings] == [FINDING_KINDS[kind].severity]


def test_images_of_one_set_in_another_are_leaks(tmp_path: Path) -> None:
    train = open_source(str(write(tmp_path / "train", clean())))
    files = clean(first_seed=300) | {
        "ant/copied.jpg": faulty.jpeg(2),
        "bee/resaved.jpg": faulty.resaved(51),
        "cat/broken.jpg": b"broken",
    }
    validation = open_source(str(write(tmp_path / "held", files)))
    assert kinds(check_source(train, [validation])) == {
        "leakage": [("ant/2.jpg", "held: ant/copied.jpg")],
        "near_leakage": [("bee/1.jpg", "held: bee/resaved.jpg")],
        "not_compared": [("held: cat/broken.jpg",)],
    }


def test_two_sets_without_a_common_image_leak_nothing(tmp_path: Path) -> None:
    train = open_source(str(write(tmp_path / "train", clean())))
    held = open_source(str(write(tmp_path / "held", clean(first_seed=300))))
    result = check_source(train, [held])
    assert (result.findings, result.not_in) == ((), ("held",))


def test_every_other_set_is_compared_under_its_own_name(tmp_path: Path) -> None:
    train = open_source(str(write(tmp_path / "train", clean())))
    others = [
        open_source(str(write(tmp_path / name, clean(first_seed=300) | {"ant/same.jpg": faulty.jpeg(seed)})))
        for name, seed in (("validation", 1), ("test", 2))
    ]
    result = check_source(train, others)
    assert result.not_in == ("validation", "test")
    assert kinds(result) == {
        "leakage": [("ant/1.jpg", "validation: ant/same.jpg"), ("ant/2.jpg", "test: ant/same.jpg")]
    }


def items(*rows: tuple[str, int, bytes]) -> Items:
    return Items("rows", CLASSES[:2], tuple(Item(key, target, lambda data=data: data) for key, target, data in rows))


def test_look_alikes_under_other_labels_say_so() -> None:
    result = check_source(items(("a.jpg", 0, faulty.jpeg(0)), ("b.jpg", 1, faulty.resaved(0))))
    assert [(each.kind, each.detail) for each in result.findings] == [("near_duplicate", "labelled ant and bee")]


def test_a_path_that_is_listed_twice_is_no_copy_of_itself_but_may_have_two_labels() -> None:
    same = [("a.jpg", 0, faulty.jpeg(0)), ("b.jpg", 1, faulty.jpeg(1)), ("a.jpg", 0, faulty.jpeg(0))]
    assert check_source(items(*same)).findings == ()
    result = check_source(items(*same, ("a.jpg", 1, faulty.jpeg(0))))
    assert kinds(result) == {"conflicting_labels": [("a.jpg",)]}


def test_classes_without_images_and_far_larger_ones_are_named() -> None:
    many = [(f"{index}.jpg", 0, faulty.jpeg(index)) for index in range(11)]
    assert kinds(check_source(items(*many))) == {"empty_class": [("bee",)]}
    assert kinds(check_source(items(*many, ("one.jpg", 1, faulty.jpeg(50))))) == {"imbalance": [("ant", "bee")]}
    assert check_source(items(*many[1:], ("one.jpg", 1, faulty.jpeg(50)))).findings == ()


def gone() -> bytes:
    raise FileNotFoundError(2, "No such file or directory")


def refused() -> bytes:
    raise PermissionError(13, "Permission denied")


def test_files_that_are_missing_or_refused_are_counted_and_named() -> None:
    source = Items("odd", ("ant",), (Item("a", 0, gone), Item("b", 0, refused), Item("c", 0, lambda: faulty.jpeg(0))))
    result = check_source(source)
    assert kinds(result) == {"missing": [("a",)], "unreadable": [("b",)]}
    assert (result.total, result.seen, result.failed) == (3, 1, 2)


def test_a_gray_data_set_is_nothing_to_note() -> None:
    gray = [Item(str(index), 0, lambda index=index: picture(40, 30, index, "L")) for index in range(4)]
    result = check_source(Items("gray", ("ant",), tuple(gray)))
    assert (result.findings, result.modes) == ((), {"L": 4})


def test_images_without_files_are_compared_by_their_pixels() -> None:
    rows = [Item(str(index), 0, lambda: Image.new("RGB", (20, 20), (9, 9, 9))) for index in range(2)]
    assert kinds(check_source(Items("made", ("ant",), tuple(rows)))) == {"exact_duplicate": [("0", "1")]}


def test_the_result_depends_on_neither_workers_nor_order() -> None:
    rows = [("a.jpg", 0, faulty.jpeg(0)), ("b.jpg", 0, faulty.jpeg(0)), ("c.jpg", 1, b""), ("d.jpg", 1, b"x")]
    one, four = check_source(items(*rows), workers=1), check_source(items(*rows[::-1]), workers=4)
    assert Counter(each.kind for each in one.findings) == Counter(each.kind for each in four.findings)
    assert [set(each.paths) for each in one.findings] == [set(each.paths) for each in four.findings]


def test_what_was_known_before_is_sorted_in_worst_first() -> None:
    known = [finding("junk", ["Thumbs.db"]), finding("bad_line", ["line 3"], "no index")]
    result = check_source(items(("c.jpg", 0, b"x"), ("d.jpg", 1, faulty.jpeg(3))), known=known)
    assert [each.kind for each in result.findings] == ["corrupt", "bad_line", "junk"]
    assert result.errors == 2


def test_a_check_says_of_what_data_it_is() -> None:
    one, other = labelled(6), labelled(9)
    found, again, apart = check_source(one, [other]), check_source(labelled(6), [other]), check_source(one)
    assert found.provenance
    assert again.provenance == found.provenance
    assert apart.provenance
    assert found.provenance.data == apart.provenance.data
    assert found.provenance.options["not_in"] != apart.provenance.options["not_in"] == []
    changed = check_source(other).provenance
    assert changed
    assert changed.data.fingerprint != found.provenance.data.fingerprint
