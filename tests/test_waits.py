"""Waits are counted to their ends, wherever a command may wait for longer than a moment."""

import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from tests.convert.checkpoints import drawn, write_safetensors
from tests.support.samples import encoded, picture, write_folder
from xception import waits
from xception.bundle import Bundle, open_bundle
from xception.convert.readers import read_checkpoint
from xception.data.calibration import write_sample
from xception.data.sources import open_source
from xception.export.export import export_bundle
from xception.train.damaged import unreadable
from xception.waits import Advance, Unit, counted, each, shown_by


class Waits:
    """The waits of a block: how many are done of each, and of how many."""

    def __init__(self) -> None:
        self.done: dict[str, int] = {}
        self.totals: dict[str, int | None] = {}
        self.reports = 0

    @contextmanager
    def __call__(self, words: str, total: int | None, unit: Unit) -> Iterator[Advance]:
        self.totals[words], self.done[words] = total, 0

        def advance(count: int) -> None:
            self.done[words] += count
            self.reports += 1

        yield advance


def test_nobody_is_told_by_default() -> None:
    with counted("working", 3) as advance:
        advance(1)
    assert list(each("abc", "counting")) == ["a", "b", "c"]


def test_items_are_counted_as_they_are_taken_and_told_of_now_and_then() -> None:
    found = Waits()
    with shown_by(found):
        taken = each(range(1000), "counting", 1000, told_every=300)
        next(taken)
        assert found.done == {"counting": 0}
        assert list(taken) == list(range(1, 1000))
    assert (found.done, found.reports) == ({"counting": 1000}, 4)
    assert len(list(each("abc", "unseen"))) == 3
    assert "unseen" not in found.done


def test_an_end_in_the_middle_leaves_nothing_shown() -> None:
    ended = []

    @contextmanager
    def shown(words: str, total: int | None, unit: Unit) -> Iterator[Advance]:
        try:
            yield lambda count: None
        finally:
            ended.append(words)

    with shown_by(shown):
        taken = each("abc", "counting")
        next(taken)
        taken.close()  # type: ignore[attr-defined]
    assert ended == ["counting"]


def hash_a_bundle(bundle: Bundle, folder: Path) -> None:
    open_bundle(bundle.path)


def hash_a_checkpoint(bundle: Bundle, folder: Path) -> None:
    assert read_checkpoint(write_safetensors(folder / "a.safetensors", drawn("mini_xception"))).file.checksums


def list_a_folder(bundle: Bundle, folder: Path) -> None:
    open_source(write_folder(folder / "data", 2))


def read_shards(bundle: Bundle, folder: Path) -> None:
    for number in range(2):
        with tarfile.open(folder / f"{number}.tar", "w") as archive:
            for name, content in {"a.jpg": encoded(picture(), "JPEG"), "a.cls": b"0"}.items():
                (folder / name).write_bytes(content)
                archive.add(folder / name, name)
    open_source(str(folder / "{0..1}.tar"))


def read_a_list(bundle: Bundle, folder: Path) -> None:
    (folder / "a.jpg").write_bytes(encoded(picture(), "JPEG"))
    (folder / "list.txt").write_text("a.jpg 0\n")
    open_source(folder / "list.txt")


def export(bundle: Bundle, folder: Path) -> None:
    export_bundle(bundle, "onnx", folder / "out", pixels=np.zeros((1, 3, 32, 32), np.float32))


def draw_a_sample(bundle: Bundle, folder: Path) -> None:
    source = open_source("synthetic:6,16x16,2")
    write_sample(source, folder / "out", 2, not_in=[open_source("synthetic:2,8x8,2")])


def look_at_training_images(bundle: Bundle, folder: Path) -> None:
    assert unreadable(open_source("synthetic:4,16x16,2")) == {}


WAITS: dict[Callable[[Bundle, Path], None], tuple[str, ...]] = {
    hash_a_bundle: ("hashing weights.safetensors",),
    hash_a_checkpoint: ("hashing",),
    list_a_folder: ("listing ",),
    read_shards: ("reading through shards",),
    read_a_list: ("reading the list",),
    export: ("writing the onnx graph", "running the weights, batch by batch", "running the graph, batch by batch"),
    draw_a_sample: ("looking at the images to keep apart", "choosing images", "writing images"),
    look_at_training_images: ("reading the training images",),
}


@pytest.mark.parametrize("wait", WAITS, ids=lambda wait: wait.__name__)
def test_a_wait_is_counted_to_its_end(
    wait: Callable[[Bundle, Path], None], weights_bundle: Bundle, tmp_path: Path
) -> None:
    found = Waits()
    with shown_by(found):
        wait(weights_bundle, tmp_path)
    for words in WAITS[wait]:
        (name,) = {name for name in found.done if name.startswith(words)}
        assert found.totals[name] in (None, found.done[name])
        assert found.done[name] > 0 or words.startswith("writing the")
    assert waits._SHOWN.get() is waits._unseen
