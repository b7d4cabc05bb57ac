import pickle
import threading
from collections.abc import Callable, Iterator
from copy import copy, deepcopy
from dataclasses import replace
from queue import SimpleQueue

import numpy as np
import pytest

from tests.support.samples import CLASSES, HANG_S, OneAtATime, encoded, labelled, picture
from xception.backends.base import Compute, Logits, Pixels, open_session
from xception.bundle import Bundle
from xception.data.source import Item, Items
from xception.errors import InputError, UnknownName, UsageError
from xception.forms import Form
from xception.pipeline import engine as module
from xception.pipeline.engine import Engine, run_side_by_side
from xception.pipeline.lane import Failure, Scored
from xception.pipeline.prediction import Prediction


@pytest.fixture(scope="module")
def engine(onnx_bundle: Bundle) -> Iterator[Engine]:
    with Engine.open(onnx_bundle) as opened:
        yield opened


@pytest.fixture
def _four_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "cores", lambda: 4)


@pytest.mark.usefixtures("_four_cores")
@pytest.mark.parametrize(
    ("compute", "images", "on_gpu", "instances"),
    [
        (Compute(), 13, False, 4),
        (Compute(), 4, False, 2),
        (Compute(), 1, False, 1),
        (Compute(), None, False, 4),
        (Compute(threads=2), 13, False, 2),
        (Compute(threads=4), None, False, 1),
        (Compute(), 13, True, 3),
        (Compute(), 2, True, 1),
    ],
)
def test_the_cores_are_shared_out_by_the_work_there_is(
    compute: Compute, images: int | None, on_gpu: bool, instances: int
) -> None:
    assert module._instances(compute, images, 2, on_gpu=on_gpu) == instances


@pytest.mark.usefixtures("_four_cores")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0; expected at least 1"),
        ({"workers": -1}, "workers is -1; expected at least 1"),
        ({"compute": Compute(instances=3, threads=2)}, "more than the 4 cores"),
        ({"compute": Compute(threads=5)}, "more than the 4 cores"),
        ({"backend": "auto", "compute": Compute(threads=2)}, "chooses threads itself"),
        ({"backend": "auto", "compute": Compute(precision="bfloat16")}, "chooses precision itself"),
        ({"backend": "auto", "batch_size": 2}, "chooses batch itself"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, object], message: str, onnx_bundle: Bundle) -> None:
    with pytest.raises(UsageError, match=message):
        Engine.open(onnx_bundle, **options)


def test_an_unknown_backend_is_refused_with_the_known_ones(onnx_bundle: Bundle) -> None:
    with pytest.raises(UnknownName, match="openvino"):
        Engine.open(onnx_bundle, backend="openvinno")


def test_a_bundle_may_be_named_by_its_folder_and_nothing_else(onnx_bundle: Bundle) -> None:
    with Engine.open(str(onnx_bundle.path)) as opened:
        assert opened.bundle.model == onnx_bundle.model
    with pytest.raises(UsageError, match=r"a bundle is named by a path, as str or pathlib\.Path; got int"):
        Engine.open(3)
    with pytest.raises(InputError, match="does not exist"):
        Engine.open("nowhere")


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_a_session_is_opened_as_asked(backend: str, onnx_bundle: Bundle) -> None:
    compute = Compute(instances=2, threads=1)
    with Engine.open(onnx_bundle, backend=backend, compute=compute, batch_size=3, workers=5, mode="fast") as opened:
        facts = opened.session.facts
        assert (facts.name, facts.instances, facts.threads) == (backend, 2, 1)
        assert (opened.batch_size, opened.workers, opened.lane.mode, opened.precision) == (3, 5, "fast", "float32")


def test_a_mode_that_was_asked_for_goes_before_the_judges(onnx_bundle: Bundle) -> None:
    with Engine.open(onnx_bundle, mode="fast") as fast, Engine.open(onnx_bundle) as free:
        assert (fast.lane.mode, fast.judging().lane.mode) == ("fast", "fast")
        assert (free.lane.mode, free.judging().lane.mode) == ("exact", "reference")


def test_auto_runs_what_was_found_to_be_the_fastest(
    onnx_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    with Engine.open(onnx_bundle, backend="auto", source=labelled(8)) as opened:
        assert opened.choice is not None
        assert opened.choice.way.backend == opened.session.facts.name
        assert opened.choice.way.batch == opened.batch_size
    assert list(cache.rglob("autotune/*.json"))


def test_its_name_is_one_readable_line(engine: Engine) -> None:
    assert repr(engine).startswith("Engine('small' in onnxruntime, float32, batches of 8, ")
    assert "\n" not in repr(engine)


def test_a_batch_is_answered_item_by_item(engine: Engine) -> None:
    items = labelled(5, broken=(1,)).items
    outcomes = engine(items)
    assert [isinstance(outcome, Failure) for outcome in outcomes] == [False, True, False, False, False]
    assert outcomes[1] == Failure("001", "not an image file of a known format")


def logits_by_key(outcomes: object) -> dict[str, np.ndarray]:
    return {outcome.item.key: outcome.logits for outcome in outcomes if isinstance(outcome, Scored)}  # type: ignore[attr-defined]


def test_many_threads_may_use_it_at_once(engine: Engine) -> None:
    items = labelled(24).items
    expected = logits_by_key(engine.run(items))
    found: list[dict[str, np.ndarray]] = []

    def use(start: int) -> None:
        found.append(logits_by_key(engine(items[start : start + 8])))

    threads = [threading.Thread(target=use, args=(start,)) for start in (0, 8, 16) * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANG_S)
    assert len(found) == 12
    for answers in found:
        for key, logits in answers.items():
            np.testing.assert_array_equal(logits, expected[key])


class Means(OneAtATime):
    """A session whose logits are the mean of each image."""

    name, input_shape, num_classes = "means", (3, None, None), len(CLASSES)

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def __call__(self, pixels: Pixels, /) -> Logits:
        self.sizes.append(len(pixels))
        return np.repeat(pixels.mean((1, 2, 3))[:, None], len(CLASSES), 1)

    def close(self) -> None: ...


def arriving(queue: "SimpleQueue[Item | None]") -> Iterator[Item]:
    """The items of a queue as they come, up to a None."""
    while (item := queue.get(timeout=HANG_S)) is not None:
        yield item


def test_a_live_source_gets_each_answer_before_it_gives_its_next_item(onnx_bundle: Bundle) -> None:
    """The source gives an item only when the one before it was answered, so that an engine which waits for a full
    batch, for more batches, or for the source, would never answer."""
    queue: SimpleQueue[Item | None] = SimpleQueue()
    stream = Engine.of(onnx_bundle, Means(), workers=4).stream(arriving(queue))
    for item in labelled(5):
        queue.put(item)
        outcome = next(stream)
        assert isinstance(outcome, Scored)
        assert outcome.item is item
    queue.put(None)
    assert list(stream) == []


def test_items_that_are_there_share_a_batch(onnx_bundle: Bundle) -> None:
    session = Means()
    assert len(list(Engine.of(onnx_bundle, session).stream(labelled(20), max_wait_s=HANG_S))) == 20
    assert sorted(session.sizes) == [4, 8, 8]


def test_a_data_set_always_makes_the_same_batches(onnx_bundle: Bundle) -> None:
    session = Means()
    list(Engine.of(onnx_bundle, session, batch_size=6).run(labelled(20)))
    assert sorted(session.sizes) == [2, 6, 6, 6]


def test_a_stream_that_is_left_early_leaves_no_worker(onnx_bundle: Bundle) -> None:
    for stream in (
        Engine.of(onnx_bundle, Means()).stream(labelled(99)),
        Engine.of(onnx_bundle, Means()).run(labelled(99)),
    ):
        next(stream)
        stream.close()
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("overlap")]


def test_an_error_of_the_source_reaches_the_consumer_behind_the_answers(onnx_bundle: Bundle) -> None:
    def breaks() -> Iterator[Item]:
        yield labelled(1)[0]
        raise OSError("the camera is gone")

    stream = Engine.of(onnx_bundle, Means()).stream(breaks(), max_wait_s=HANG_S)
    with pytest.raises(OSError, match="the camera is gone"):
        list(stream)


@pytest.mark.parametrize("form", ["weights", "onnx", "openvino"])
def test_guesses_are_the_likeliest_classes_with_their_probabilities(form: Form, forms: dict[Form, Bundle]) -> None:
    bundle, source = forms[form], labelled(5)
    with Engine.open(bundle, mode="reference") as opened:
        predictions = list(opened.predict(source, top=3))
    pixels = np.stack([bundle.model.preprocess(picture(seed=index)) for index in range(5)])
    logits = open_session(bundle)(pixels).astype(np.float64)
    for prediction, row, item in zip(predictions, logits, source, strict=True):
        assert isinstance(prediction, Prediction)
        assert prediction.path == item.key
        best = np.argsort(-row)[:3]
        assert [guess.index for guess in prediction.top] == best.tolist()
        assert [guess.label for guess in prediction.top] == [CLASSES[index] for index in best]
        expected = np.exp(row[best]) / np.exp(row).sum()
        assert [guess.probability for guess in prediction.top] == pytest.approx(expected, rel=1e-4)


def test_more_guesses_than_classes_are_all_classes(engine: Engine) -> None:
    (prediction,) = engine.predict(labelled(1), top=50)
    assert isinstance(prediction, Prediction)
    assert sum(guess.probability for guess in prediction.top) == pytest.approx(1)
    assert sorted(guess.label for guess in prediction.top) == sorted(CLASSES)


def test_failures_stand_in_their_place(engine: Engine) -> None:
    outcomes = list(engine.predict(labelled(6, broken=(0, 3))))
    assert [isinstance(outcome, Failure) for outcome in outcomes] == [True, False, False, True, False, False]


def test_images_need_no_labels(engine: Engine) -> None:
    (prediction,) = engine.predict(Items("files", (), (Item("a.png", None, lambda: encoded(picture())),)))
    assert isinstance(prediction, Prediction)
    assert len(prediction.top) == 5


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_guesses_do_not_depend_on_the_batches(engine: Engine, batch_size: int) -> None:
    several = (replace(engine, batch_size=batch_size), replace(engine, batch_size=4, workers=3))
    guesses = [
        [
            [guess.index for guess in outcome.top]
            for outcome in one.predict(labelled(15))
            if isinstance(outcome, Prediction)
        ]
        for one in several
    ]
    assert guesses[0] == guesses[1]


def test_engines_side_by_side_give_the_outcomes_of_each(engine: Engine) -> None:
    source = labelled(11, broken=(2,))
    pairs = list(run_side_by_side((engine, engine.judging()), source))
    for place, one in enumerate((engine, engine.judging())):
        expected = logits_by_key(one.run(source))
        found = logits_by_key(pair[place] for pair in pairs)
        assert found.keys() == expected.keys()
        assert all(np.array_equal(found[key], expected[key]) for key in expected)


class Exclusive(Means):
    """Fails when two threads are in it."""

    def __init__(self) -> None:
        super().__init__()
        self._inside = threading.Lock()

    def __call__(self, pixels: Pixels, /) -> Logits:
        assert self._inside.acquire(blocking=False)
        try:
            return super().__call__(np.repeat(pixels, 500, 2))
        finally:
            self._inside.release()


def test_engines_of_one_session_take_turns_with_it(onnx_bundle: Bundle) -> None:
    first = Engine.of(onnx_bundle, Exclusive(), batch_size=1, workers=8)
    assert len(list(run_side_by_side((first, first.judging()), labelled(40)))) == 40


def test_a_closed_engine_says_so_and_may_be_closed_again(onnx_bundle: Bundle) -> None:
    opened = Engine.open(onnx_bundle)
    other = opened.judging()
    opened.close()
    opened.close()
    other.close()
    items = labelled(1)
    for ask in (
        lambda: opened(items),
        lambda: list(opened.stream(items)),
        lambda: list(opened.predict([picture()])),
        lambda: list(other.run(items)),
        lambda: list(run_side_by_side([other], items)),
    ):
        with pytest.raises(UsageError, match="the model 'small' was closed; load it again"):
            ask()


@pytest.mark.parametrize("copied", [copy, deepcopy, pickle.dumps])
def test_an_engine_is_not_copied_and_says_what_to_do(engine: Engine, copied: Callable[[Engine], object]) -> None:
    with pytest.raises(UsageError, match=r"holds a runtime .* load the model by its name"):
        copied(engine)


@pytest.mark.parametrize("top", [0, -1, 2.5, "3", None, True])
def test_the_number_of_classes_is_a_whole_one(engine: Engine, top: object) -> None:
    with pytest.raises(UsageError, match="expected a whole number of classes, from 1"):
        list(engine.predict([picture()], top=top))


def test_options_of_another_kind_are_refused(onnx_bundle: Bundle) -> None:
    with pytest.raises(UnknownName, match="unknown mode 'best'"):
        Engine.open(onnx_bundle, mode="best")
    with pytest.raises(UsageError, match="compute has to be of type Compute"):
        Engine.open(onnx_bundle, compute=3)
