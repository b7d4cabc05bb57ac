from PIL import Image

from tests.samples import labelled
from xception.data.source import Item, Items
from xception.report.pictures import thumbnails
from xception.report.plots import THUMBNAIL_PX


def test_wanted_items_are_read_and_no_others() -> None:
    read: list[str] = []

    def item(name: str) -> Item:
        return Item(name, 0, lambda: read.append(name) or Image.new("RGB", (400, 200)))  # type: ignore[func-returns-value]

    source = Items("some", ("a",), tuple(map(item, "abcab")))
    pictures = thumbnails(source, ["b", "a"])
    assert sorted(pictures) == sorted(read) == ["a", "b"]
    assert pictures["a"].size == (THUMBNAIL_PX, THUMBNAIL_PX // 2)


def test_what_cannot_be_read_any_more_is_left_out() -> None:
    def gone() -> bytes:
        raise OSError("gone")

    source = Items("some", ("a",), (*labelled(3, broken=(1,)), Item("gone", 0, gone)))
    assert sorted(thumbnails(source, ["000", "001", "gone", "absent"])) == ["000"]
