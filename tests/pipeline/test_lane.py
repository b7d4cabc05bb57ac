import threading
from collections.abc import Generator, Iterable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.samples import HANG_S, OneAtATime, encoded, labelled, picture
from xception.backends.base import Logits, Pixels, Session
from xception.data.source import Item
from xception.data.sources import open_source
from xception.pipeline.batches import batched
from xception.pipeline.cores import Cores
from xception.pipeline.lane import STAGES, Clocks, Failure, Lane, Ready, Scored, prepared
from xception.pipeline.overlap import overlap
from xception.preprocess import Preprocess, ShorterSide, Squash

SMALL = Preprocess(resize=Squash(width_px=4, height_px=4))


class Means(OneAtATime):
    """A session whose logits are the channel means of each image, and which remembers its batches."""

    name = "means"
    input_shape = (3, None, None)
    num_classes = 3

    def __init__(self, batch_size: int | None = None) -> None:
        self.batch_size = batch_size
        self.batches: list[tuple[int, ...]] = []

    def __call__(self, pixels: Pixels, /) -> Logits:
        self.batches.append(pixels.shape)
        return pixels.mean((2, 3))

    def close(self) -> None: ...


def infer(
    items: Iterable[Item],
    preprocess: Preprocess,
    session: Session,
    *,
    batch_size: int = 8,
    workers: int = 2,
    cores: Cores | None = None,
    clocks: Clocks | None = None,
) -> Generator[Scored | Failure, None, None]:
    """Items on several threads through one lane."""
    lane = Lane.of(session, preprocess, mode="reference", cores=cores, clocks=clocks)
    batches = batched(items, session.facts.batch_size or batch_size)
    with closing(overlap(batches, lane, workers=workers)) as outcomes:
        for outcome in outcomes:
            yield from outcome


class Breaks(Means):
    def __call__(self, pixels: Pixels, /) -> Logits:
        raise RuntimeError("out of order")


def stage_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("overlap")]


def faulty_folder(root: Path) -> dict[str, bool]:
    """One of everything that lies in image folders of the world; by file name, whether it is an image."""
    jpeg, png = encoded(picture(64, 48), "JPEG"), encoded(picture(64, 48))
    rotated = Image.Exif()
    rotated[0x0112] = 6
    damaged = bytearray(png)
    damaged[60:70] = b"\x00" * 10
    sixteen = Image.fromarray(np.arange(0, 65536, 64, dtype=np.uint16).reshape(32, 32))
    files: dict[str, tuple[bytes, bool]] = {
        "animated.gif": (encoded(picture(), "GIF", save_all=True, append_images=[picture(seed=1)]), True),
        "bilevel.png": (encoded(picture(mode="1")), True),
        "cmyk.jpg": (encoded(picture(mode="CMYK"), "JPEG"), True),
        "corrupt.png": (bytes(damaged), False),
        "float.tiff": (encoded(Image.fromarray(np.ones((4, 4), np.float32)), "TIFF"), False),
        "good.jpg": (jpeg, True),
        "gray.jpg": (encoded(picture(mode="L"), "JPEG"), True),
        "gray_alpha.png": (encoded(picture(mode="LA")), True),
        "huge.png": (encoded(Image.new("1", (15_000, 15_000)), compress_level=1), False),
        "palette.png": (encoded(picture().quantize(8)), True),
        "palette_transparent.png": (encoded(picture().quantize(8), transparency=b"\x00\x80"), True),
        "rgba.png": (encoded(picture(mode="RGBA")), True),
        "rotated.jpg": (encoded(picture(64, 48), "JPEG", exif=rotated), True),
        "sixteen.png": (encoded(sixteen), True),
        "sliver.png": (encoded(Image.new("RGB", (1, 30_000))), False),
        "text.jpg": (b"This is not an image.", False),
        "truncated.jpg": (jpeg[: len(jpeg) // 2], False),
        "wrong_suffix.bmp": (png, True),
        "zero.png": (b"", False),
    }
    (root / "class").mkdir(parents=True)
    for name, (content, _) in files.items():
        (root / "class" / name).write_bytes(content)
    return {name: good for name, (_, good) in files.items()}


@pytest.mark.parametrize("workers", [1, 3])
def test_everything_in_a_folder_is_scored_or_fails_with_a_reason_in_its_place(tmp_path: Path, workers: int) -> None:
    expected = faulty_folder(tmp_path)
    preprocess = Preprocess(resize=ShorterSide(px=128))
    source = open_source(str(tmp_path))
    outcomes = list(infer(source, preprocess, Means(), batch_size=4, workers=workers))
    seen = {item.item.key.removeprefix("class/"): True for item in outcomes if isinstance(item, Scored)}
    failed = {item.key.removeprefix("class/"): False for item in outcomes if isinstance(item, Failure)}
    assert seen | failed == expected
    assert len(seen) + len(failed) == len(source) == len(outcomes)
    keys = [outcome.key if isinstance(outcome, Failure) else outcome.item.key for outcome in outcomes]
    assert keys == [item.key for item in source]
    assert all(outcome.reason for outcome in outcomes if isinstance(outcome, Failure))


def test_a_file_that_vanishes_is_a_failure(tmp_path: Path) -> None:
    item = Item("gone", 0, (tmp_path / "gone.png").read_bytes)
    assert list(prepared([item], SMALL)) == [Failure("gone", "cannot be read: No such file or directory")]


def test_a_source_may_give_pictures_instead_of_files() -> None:
    (ready,) = prepared([Item("a", None, picture)], SMALL)
    assert isinstance(ready, Ready)
    assert np.array_equal(ready.pixels, SMALL(picture()))


def test_a_mistake_of_the_program_stops_the_run() -> None:
    def mistaken() -> bytes:
        raise KeyError("no such field")

    with pytest.raises(KeyError, match="no such field"):
        list(prepared([Item("a", 0, mistaken)], SMALL))


@pytest.mark.parametrize("batch_size", [1, 3, 8, 100])
@pytest.mark.parametrize("workers", [1, 4])
def test_logits_belong_to_their_items_whatever_the_batches(batch_size: int, workers: int) -> None:
    source = labelled(11, broken=(0, 4, 5, 10))
    outcomes = list(infer(source, SMALL, Means(), batch_size=batch_size, workers=workers))
    assert [isinstance(outcome, Failure) for outcome in outcomes] == [index in (0, 4, 5, 10) for index in range(11)]
    for index, outcome in enumerate(outcomes):
        if isinstance(outcome, Scored):
            assert outcome.item is source[index]
            np.testing.assert_allclose(outcome.logits, SMALL(picture(seed=index)).mean((1, 2)), rtol=1e-5)


def test_a_batch_is_so_many_items_in_a_row_less_those_that_fail() -> None:
    session = Means()
    list(infer(labelled(11, broken=(0, 4, 5, 6, 7)), SMALL, session, batch_size=4, workers=1))
    assert [shape[0] for shape in session.batches] == [3, 3]


def test_a_fixed_batch_size_is_always_filled() -> None:
    session = Means(batch_size=4)
    outcomes = list(infer(labelled(6), SMALL, session, batch_size=32))
    assert [shape[0] for shape in session.batches] == [4, 4]
    assert len(outcomes) == 6


def test_images_of_different_sizes_are_never_in_one_batch() -> None:
    sizes = [(8, 8), (8, 8), (9, 8), (9, 8), (8, 8)]
    items = [Item(str(i), 0, lambda size=size: picture(*size)) for i, size in enumerate(sizes)]
    session = Means()
    outcomes = list(infer(items, Preprocess(), session, batch_size=4, workers=1))
    assert [shape[0] for shape in session.batches] == [2, 2, 1]
    assert [outcome.item for outcome in outcomes if isinstance(outcome, Scored)] == items


class Images(Means):
    """Takes 8-bit images, and keeps their type."""

    input_values = "image"

    def __call__(self, pixels: Pixels, /) -> Logits:
        assert pixels.dtype == np.uint8
        return super().__call__(pixels)


def test_a_session_that_normalises_is_given_the_eight_bit_images() -> None:
    (outcome,) = infer([Item("a", 0, picture)], SMALL, Images())
    assert isinstance(outcome, Scored)
    np.testing.assert_allclose(outcome.logits, SMALL.resized(picture()).mean((1, 2)), rtol=1e-5)


class Crowded(Means):
    """Knows how many threads were in it at once at most."""

    def __init__(self, instances: int, threads: int) -> None:
        super().__init__()
        self.instances, self.threads = instances, threads
        self.most = self._inside = 0
        self._lock = threading.Lock()

    def __call__(self, pixels: Pixels, /) -> Logits:
        with self._lock:
            self._inside += 1
            self.most = max(self.most, self._inside)
        logits = super().__call__(np.repeat(pixels, 2000, 2))
        with self._lock:
            self._inside -= 1
        return logits


@pytest.mark.parametrize(("instances", "threads"), [(1, 0), (3, 0), (3, 2), (1, 4)])
def test_a_session_is_called_by_no_more_threads_than_it_takes(instances: int, threads: int) -> None:
    session = Crowded(instances, threads)
    assert len(list(infer(labelled(60), SMALL, session, batch_size=1, workers=8, cores=Cores(4)))) == 60
    assert 0 < session.most <= instances


class Meeting(Means):
    """Gives no answer before so many threads are in it."""

    def __init__(self, instances: int) -> None:
        super().__init__()
        self.instances, self.threads = instances, 0
        self._barrier = threading.Barrier(instances)

    def __call__(self, pixels: Pixels, /) -> Logits:
        self._barrier.wait(HANG_S)
        return super().__call__(pixels)


def test_instances_run_at_once() -> None:
    assert len(list(infer(labelled(9), SMALL, Meeting(3), batch_size=1, workers=3, cores=Cores(1)))) == 9


def test_nothing_in_is_nothing_out() -> None:
    assert list(infer([], SMALL, Means())) == []
    assert [type(outcome) for outcome in infer(labelled(3, broken=range(3)), SMALL, Means())] == [Failure] * 3


def test_a_run_reads_only_a_bounded_number_of_items_ahead() -> None:
    drawn = []

    def items() -> object:
        for index in range(10_000):
            drawn.append(index)
            yield Item(str(index), 0, picture)

    run = infer(items(), SMALL, Means(), batch_size=4, workers=2)
    next(run)
    run.close()
    assert len(drawn) <= 40
    assert not stage_threads()


def test_an_error_of_the_session_surfaces_and_ends_all_stages_while_it_is_looked_at() -> None:
    with pytest.raises(RuntimeError, match="out of order"):
        list(infer(labelled(50), SMALL, Breaks(), batch_size=4))
    assert not stage_threads()


def test_clocks_count_every_image_once() -> None:
    clocks = Clocks()
    list(infer(labelled(9, broken=(2,)), SMALL, Means(), batch_size=4, clocks=clocks))
    assert {stage: clocks[stage].images for stage in STAGES} == {
        "read": 9,
        "preprocess": 9,
        "infer": 8,
        "postprocess": 0,
    }
    assert clocks["preprocess"].busy_s > 0
