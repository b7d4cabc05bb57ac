import threading
from collections.abc import Callable
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from PIL import Image

from tests.speed.clocks import Accelerator, HandClock, Paced, slow_to_read
from tests.support.samples import CLASSES, HANG_S, encoded, labelled, picture
from xception.backends.base import Logits, Pixels
from xception.bundle import Bundle
from xception.data.source import Item, Items
from xception.errors import InputError
from xception.pipeline.engine import Engine
from xception.preprocess import Preprocess
from xception.speed.benchmark import workload
from xception.speed.workload import MAX_PRELOADED, NullSession, Stages, Workload, drain, end_to_end, first_image


class Listening(Paced):
    """Keeps the shapes and kinds of its batches."""

    def __init__(self) -> None:
        super().__init__(HandClock(), 0.0)
        self.batches: list[tuple[tuple[int, ...], str]] = []

    def __call__(self, pixels: Pixels, /) -> Logits:
        self.batches.append((pixels.shape, str(pixels.dtype)))
        return super().__call__(pixels)


def work(bundle: Bundle, source: Items, batch: int = 4, images: int = 8, session: Paced | None = None) -> Workload:
    session = session or Listening()
    return workload(Engine.of(bundle, session, workers=1), source, batch, images=images, clock=session._clock)


def test_a_silent_session_is_given_what_the_session_is_given(onnx_bundle: Bundle) -> None:
    session = Listening()
    one = work(onnx_bundle, labelled(8), session=session)
    silent = NullSession(one.session, instances=1, keep=True)
    drain(one.around(silent).run(one.items))
    drain(one.engine.run(one.items))
    assert [(batch.shape, str(batch.dtype)) for batch in silent.batches] == session.batches
    assert silent(silent.batches[0]).shape == (4, len(CLASSES))
    silent.close()
    assert silent.batches == []


@pytest.mark.parametrize(("fixed", "values"), [(4, "pixels"), (None, "image"), (None, "pixels")])
def test_the_stage_of_inference_is_given_the_same_batches_as_the_whole(
    onnx_bundle: Bundle, fixed: int | None, values: str
) -> None:
    session = Listening()
    session.batch_size, session.input_values = fixed, values  # type: ignore[assignment]
    one = work(onnx_bundle, labelled(8), session=session)
    stages = Stages(one)
    session.batches.clear()
    assert len(stages.infer()) == 2
    alone = list(session.batches)
    session.batches.clear()
    assert end_to_end(one).seen == 8
    assert session.batches == alone


def test_images_of_several_sizes_are_measured_too(onnx_bundle: Bundle) -> None:
    model = msgspec.structs.replace(onnx_bundle.model, preprocess=Preprocess())
    items = [Item(f"{px}", 0, lambda px=px: picture(px, 30)) for px in (20, 20, 30, 40)]
    stages = Stages(work(replace(onnx_bundle, model=model), Items("sizes", CLASSES, tuple(items)), images=4))
    assert len(stages.infer()) == 3
    stages.preprocess()
    stages.postprocess()


def test_stages_hold_few_images_however_many_a_run_has(onnx_bundle: Bundle) -> None:
    loads: list[str] = []

    def item(index: int) -> Item:
        return Item(f"{index}", None, lambda: loads.append(f"{index}") or picture())

    source = Items("many", (), tuple(map(item, range(3 * MAX_PRELOADED))))
    one = work(onnx_bundle, source, images=3 * MAX_PRELOADED)
    stages = Stages(one)
    assert one.preloaded == MAX_PRELOADED == len(set(loads))
    before = len(loads)
    stages.read()
    assert len(loads) == before + MAX_PRELOADED


@pytest.mark.parametrize(
    ("images", "batch", "instances", "held"),
    [(64, 1, 2, 64), (64, 24, 1, 48), (64, 8, 3, 48), (500, 32, 4, 128), (64, 32, 4, 64), (40, 32, 4, 32)],
)
def test_a_stage_alone_gets_whole_batches_and_as_many_for_each_instance(
    onnx_bundle: Bundle, images: int, batch: int, instances: int, held: int
) -> None:
    session = Listening()
    session.instances = instances
    assert work(onnx_bundle, labelled(2), batch, images, session).preloaded == held


def test_reading_alone_reads_every_time_and_the_stages_behind_it_never(onnx_bundle: Bundle) -> None:
    clock = HandClock()
    stages = Stages(work(onnx_bundle, slow_to_read(8, clock, lambda: 1.0), session=Paced(clock, 0.0)))
    before = clock()
    stages.preprocess()
    stages.infer()
    stages.postprocess()
    assert clock() == before
    stages.read()
    assert clock() == before + 8


def test_a_run_says_of_each_image_when_its_answer_came_and_what_failed(onnx_bundle: Bundle) -> None:
    clock = HandClock()
    slow = slow_to_read(4, clock, lambda: 1.0).items

    def gone() -> bytes:
        raise FileNotFoundError(2, "No such file")

    source = Items("slow", (), (*slow[:2], Item("gone", None, gone), *slow[2:]))
    result = end_to_end(work(onnx_bundle, source, batch=1, images=5, session=Paced(clock, 10.0)))
    assert result.seen == 4
    assert result.failures == {"gone": "cannot be read: No such file"}
    assert all(seconds >= 11 for seconds in result.answers_s)
    assert result.clocks["infer"].images == 4
    assert result.answers.score() is None


class Meetings:
    """Each image but the first is read while an accelerator computes the one before, for a second of the clock."""

    def __init__(self, images: int) -> None:
        self.clock = HandClock()
        self.session = MeetingAccelerator(self, images)
        self.source = Items("meeting", (), tuple(Item(str(index), None, self._load(index)) for index in range(images)))
        self._barrier = threading.Barrier(2, action=lambda: self.clock.move(1.0))

    def meet(self) -> None:
        self._barrier.wait(HANG_S)

    def _load(self, index: int) -> Callable[[], bytes]:
        data = encoded(picture(seed=index))

        def load() -> bytes:
            if index:
                self.meet()
            return data

        return load


class MeetingAccelerator(Accelerator):
    def __init__(self, meetings: Meetings, images: int) -> None:
        super().__init__(meetings.clock, 0.0)
        self._meetings, self._left = meetings, images

    def __call__(self, pixels: Pixels, /) -> Logits:
        self._left -= 1
        if self._left:
            self._meetings.meet()
        return super().__call__(pixels)


def test_an_accelerator_computes_while_the_next_image_is_read(
    onnx_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    meetings = Meetings(8)
    monkeypatch.setattr("xception.pipeline.stopwatch.perf_counter", meetings.clock)
    engine = Engine.of(onnx_bundle, meetings.session, workers=1)
    one = workload(engine, meetings.source, 1, images=8, clock=meetings.clock)
    clocks = end_to_end(one).clocks
    assert meetings.clock() == clocks["read"].busy_s == clocks["infer"].busy_s == 7


def test_images_that_come_again_count_once_in_the_accuracy(onnx_bundle: Bundle) -> None:
    score = end_to_end(work(onnx_bundle, labelled(3, broken=(1,)), images=8)).answers.score()
    assert score
    assert (score.total, score.seen, score.failed) == (3, 2, 1)


def test_the_first_image_that_can_be_read_is_found() -> None:
    def gone() -> bytes:
        raise OSError

    items = [Item("gone", None, gone), *labelled(2, broken=(0,)).items]
    loaded, image = first_image(items, "pictures")
    assert loaded == items[2].load()
    np.testing.assert_array_equal(np.asarray(image), np.asarray(picture(seed=1)))
    assert isinstance(image, Image.Image)
    with pytest.raises(InputError, match="none of the images of pictures"):
        first_image(items[:2], "pictures")
