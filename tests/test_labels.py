from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xception.errors import InputError
from xception.labels import (
    Labels,
    class_map_of,
    imagenet1k,
    index_classes,
    labels_text,
    parse_labels,
    read_class_map,
    read_labels,
)

NAME = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1).filter(str.strip)


@given(st.lists(NAME, min_size=1))
def test_names_come_back_as_they_were_written(names: list[str]) -> None:
    assert parse_labels(labels_text(Labels(tuple(names)))) == Labels(tuple(names))


@given(st.lists(st.tuples(NAME, NAME), min_size=1))
def test_ids_and_names_come_back_as_they_were_written(rows: list[tuple[str, str]]) -> None:
    labels = Labels(tuple(name for _, name in rows), tuple(key for key, _ in rows))
    assert parse_labels(labels_text(labels)) == labels


@pytest.mark.parametrize("names", [("a\nb",), ("a\tb",), ("a", ""), ("a\r",)])
def test_a_name_that_a_text_file_cannot_hold_is_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match="cannot be written one per line"):
        labels_text(Labels(names))


def test_labels_are_as_many_as_their_names() -> None:
    assert len(Labels(("cat", "dog"))) == 2


def test_windows_line_ends_are_understood() -> None:
    assert parse_labels("cat\r\ndog\r\n") == Labels(("cat", "dog"))


def test_classes_are_found_by_id_and_by_name_in_any_order() -> None:
    labels = Labels(("tench", "goldfish"), ("n01440764", "n01443537"))
    assert labels.targets(["n01443537", "tench"]) == (1, 0)


def test_an_unknown_class_is_refused_and_named() -> None:
    with pytest.raises(InputError, match=r"1 of the data's 2 classes .*such as 'emu'.* begin with 'cat'"):
        Labels(("cat", "dog")).targets(["cat", "emu"])


def test_a_name_that_two_classes_share_is_not_guessed() -> None:
    labels = Labels(("crane", "crane", "owl"), ("bird", "machine", "owl_id"))
    assert labels.targets(["machine", "owl"]) == (1, 2)
    with pytest.raises(InputError, match="'crane'"):
        labels.targets(["crane", "owl"])


def test_classes_without_names_are_the_models_own_indices() -> None:
    assert Labels(("cat", "dog", "emu")).targets(index_classes(2)) == (0, 1)
    with pytest.raises(InputError, match="'#2'"):
        Labels(("cat", "dog")).targets(index_classes(3))


def test_names_that_are_numbers_are_no_indices() -> None:
    assert Labels(tuple("10")).targets("01") == (1, 0)
    with pytest.raises(InputError, match="2 of the data's 2 classes"):
        Labels(("cat", "dog")).targets("01")


def test_a_label_file_is_read(tmp_path: Path) -> None:
    labels = Labels(("café", "t\rhé"), ("n1", "n2"))
    (tmp_path / "labels.txt").write_bytes(labels_text(labels).encode())
    assert read_labels(tmp_path / "labels.txt") == labels


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xff\xfe"])
def test_a_label_file_without_labels_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "labels.txt").write_bytes(content)
    with pytest.raises(InputError, match=r"labels\.txt"):
        read_labels(tmp_path / "labels.txt")


@pytest.mark.parametrize(
    "content",
    [
        "ant\nbee\n",
        "\ufeffant\r\nbee\r\n",
        "ant\r\nbee\r\n\r\n\r\n",
        "ant\rbee\r",
        "0 ant\n1 bee\n",
        "0: ant\n1: bee",
        "0,ant\n1,bee\n",
        "0\tant\n1\tbee\n",
        '["ant", "bee"]',
        '{"ant": 0, "bee": 1}',
        '{"1": "bee", "0": "ant"}',
    ],
)
def test_the_forms_in_which_people_keep_class_names_are_one(content: str, tmp_path: Path) -> None:
    for encoding in ("utf-8", "utf-16"):
        (tmp_path / "labels").write_bytes(content.encode(encoding))
        assert read_labels(tmp_path / "labels") == Labels(("ant", "bee"))


def test_keras_own_list_of_classes_has_ids(tmp_path: Path) -> None:
    (tmp_path / "labels.json").write_text('{"0": ["n01", "ant"], "1": ["n02", "bee"]}')
    assert read_labels(tmp_path / "labels.json") == Labels(("ant", "bee"), ("n01", "n02"))


@pytest.mark.parametrize(
    "content", ['{"ant": 1, "bee": 2}', '{"0": "ant", "2": "bee"}', "[1, 2]", '{"a": {"b": 1}}', "[]"]
)
def test_json_that_does_not_name_every_class_from_0_on_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "labels.json").write_text(content)
    with pytest.raises(InputError, match="is JSON of another form; expected a list of names"):
        read_labels(tmp_path / "labels.json")


@pytest.mark.parametrize("text", ["ant\n\nbee\n", "\nant\n", "0 ant\n \n1 bee"])
def test_an_empty_line_is_no_class(text: str, tmp_path: Path) -> None:
    (tmp_path / "labels").write_text(text)
    with pytest.raises(InputError, match=r"line [12] of the label file .* is empty; expected one class on every line"):
        read_labels(tmp_path / "labels")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_class_map_is_read_as_programs_of_windows_write_it(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "map.json").write_bytes('{"ant": "Ameise"}'.encode(encoding))
    assert read_class_map(tmp_path / "map.json") == {"ant": "Ameise"}


def test_a_folder_in_place_of_a_file_is_said_in_words(tmp_path: Path) -> None:
    for read in (read_labels, read_class_map):
        with pytest.raises(InputError, match=r": it is a folder; expected"):
            read(tmp_path)


@pytest.mark.parametrize("names", [("0", "1"), ("1 ant", "2 bee"), ("0 ant", "7 bee"), ("{ant}", "bee")])
def test_numbers_that_do_not_count_the_lines_belong_to_the_names(names: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "labels").write_text("\n".join(names))
    assert read_labels(tmp_path / "labels") == Labels(names)


def test_accents_that_another_system_takes_apart_are_the_same_name() -> None:
    composed, apart = "caf\u00e9", "cafe\u0301"
    assert Labels(("tea", composed)).targets([apart]) == (1,)
    assert Labels(("tea", apart)).targets([composed]) == (1,)
    assert Labels((apart, composed)).targets([composed, apart]) == (1, 0)


def test_a_missing_label_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read the label file"):
        read_labels(tmp_path / "none.txt")


def test_imagenets_thousand_classes_stand_in_the_order_of_their_wordnet_ids() -> None:
    labels = imagenet1k()
    assert len(labels) == len(labels.ids) == len(set(labels.ids)) == 1000
    assert list(labels.ids) == sorted(labels.ids)
    assert (labels.ids[0], labels.names[0]) == ("n01440764", "tench, Tinca tinca")
    assert (labels.ids[999], labels.names[999]) == ("n15075141", "toilet tissue, toilet paper, bathroom tissue")


def test_imagenets_two_cranes_are_told_apart_by_id_alone() -> None:
    assert imagenet1k().targets(["n02012849", "n03126707"]) == (134, 517)
    with pytest.raises(InputError, match="fit several"):
        imagenet1k().targets(["crane"])


def test_a_class_map_is_read_from_json(tmp_path: Path) -> None:
    path = tmp_path / "map.json"
    path.write_text('{"car": "automobile"}')
    assert read_class_map(path) == {"car": "automobile"}
    for content in (b"[1]", b'{"car": 1}', b"\xff", b""):
        path.write_bytes(content)
        with pytest.raises(InputError, match="cannot read the class map"):
            read_class_map(path)
    with pytest.raises(InputError, match="No such file"):
        read_class_map(tmp_path / "none.json")


def test_folders_called_by_indices_are_mapped_where_that_is_said() -> None:
    labels = Labels(("cat", "dog", "emu"))
    with pytest.raises(InputError, match="--class-map indices"):
        labels.targets(["0", "2"])
    assert labels.targets(tuple(class_map_of("indices", ["0", "02"]).values())) == (0, 2)
    assert class_map_of(None, ["0"]) == {}
    with pytest.raises(InputError, match="'owl' of the data is no index"):
        class_map_of("indices", ["0", "owl"])
