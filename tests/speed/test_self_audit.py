import numpy as np
import pytest

from tests.speed.clocks import HandClock, Paced
from tests.support.samples import encoded, labelled, picture
from xception.backends.base import Logits, Pixels
from xception.bundle import Bundle
from xception.data.pixels import pixels
from xception.data.source import Item, Items
from xception.errors import InputError, UsageError
from xception.intervals import Interval
from xception.pipeline import prepare
from xception.pipeline.engine import Engine
from xception.speed.benchmark import workload
from xception.speed.self_audit import Audit, self_audit
from xception.speed.workload import Workload


class Remembering(Paced):
    """Answers at once what it was asked before."""

    def __init__(self, clock: HandClock) -> None:
        super().__init__(clock, 0.1)
        self._answers: dict[bytes, Logits] = {}

    def __call__(self, pixels: Pixels, /) -> Logits:
        key = pixels.tobytes()
        if key not in self._answers:
            self._answers[key] = super().__call__(pixels)
        self._clock.move(0.001)
        return self._answers[key]


class Recording(Paced):
    """Keeps all images that it was given."""

    def __init__(self, clock: HandClock) -> None:
        super().__init__(clock, 0.1)
        self.seen: list[bytes] = []

    def __call__(self, pixels: Pixels, /) -> Logits:
        self.seen += [row.tobytes() for row in pixels]
        return super().__call__(pixels)


def audited(bundle: Bundle, session: Paced, source: Items, monkeypatch: pytest.MonkeyPatch) -> Audit:
    """With a preprocessing that takes a twentieth of a second an image."""
    decoded = pixels

    def slow_pixels(*arguments: object) -> np.ndarray:
        session._clock.move(0.05)
        return decoded(*arguments)

    monkeypatch.setattr(prepare, "pixels", slow_pixels)
    return self_audit(audit_workload(bundle, session, source), repeats=4)


def audit_workload(bundle: Bundle, session: Paced, source: Items) -> Workload:
    return workload(Engine.of(bundle, session, workers=1), source, 4, images=8, clock=session._clock)


def test_where_nothing_is_cached_one_image_is_as_fast_as_many(
    onnx_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    audit = audited(onnx_bundle, Paced(HandClock(), 0.1), labelled(8), monkeypatch)
    assert audit.caching == audit.undecided == ()
    assert list(audit.ratios) == ["preprocess", "infer", "end_to_end"]
    assert all(ratio.value == pytest.approx(1) for ratio in audit.ratios.values())
    assert audit.sentence().startswith("nothing is cached: ")


def test_a_session_that_caches_is_caught(onnx_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    audit = audited(onnx_bundle, Remembering(HandClock()), labelled(8), monkeypatch)
    assert audit.caching == ("infer", "end_to_end")
    assert audit.ratios["infer"].low > 10
    assert audit.sentence().startswith("infer and end_to_end: a repeated image ran ")


def test_a_preprocessing_that_caches_is_caught(onnx_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, known, decoded = HandClock(), dict[bytes, np.ndarray](), pixels

    def remembered(loaded: bytes, *arguments: object) -> np.ndarray:
        if loaded not in known:
            clock.move(0.05)
            known[loaded] = decoded(loaded, *arguments)
        clock.move(0.001)
        return known[loaded]

    monkeypatch.setattr(prepare, "pixels", remembered)
    audit = self_audit(audit_workload(onnx_bundle, Paced(clock, 0.001), labelled(8)), repeats=4)
    assert audit.caching == ("preprocess", "end_to_end")


def told(low: float, value: float, high: float, **stages: tuple[str, ...]) -> str:
    ratios = {"infer": Interval(value=value, low=low, high=high)}
    return Audit(batch=1, images=16, ratios=ratios, **{"caching": (), "undecided": (), **stages}).sentence()


def test_the_finding_is_said_in_words() -> None:
    assert told(0.9, 1, 1.2) == (
        "nothing is cached: a repeated image ran infer 1.00 [0.90, 1.20] times as fast as new ones"
    )
    assert told(0.1, 2, 9, undecided=("infer",)).startswith("no verdict: the noise could hide a cache in infer: ")
    assert told(8, 9, 10, caching=("infer",)).startswith("infer: a repeated image ran ")


class Restless(Paced):
    """Takes its time, or ten times that."""

    calls = 0

    def __call__(self, pixels: Pixels, /) -> Logits:
        self.calls += 1
        self.image_s = (0.1, 1.0)[self.calls // 5 % 2]
        return super().__call__(pixels)


def test_a_noise_that_could_hide_a_memory_is_no_acquittal(onnx_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    audit = audited(onnx_bundle, Restless(HandClock(), 0.1), labelled(8), monkeypatch)
    assert audit.caching == ()
    assert "infer" in audit.undecided
    assert audit.sentence().startswith("no verdict: ")


@pytest.mark.parametrize("is_file", [True, False])
@pytest.mark.parametrize("mode", ["RGB", "L", "P", "CMYK"])
def test_the_many_are_all_different_and_of_one_size(
    onnx_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, is_file: bool, mode: str
) -> None:
    image = picture(40, 30, mode=mode)
    load = (lambda: encoded(image, "TIFF")) if is_file else (lambda: image)
    session = Recording(HandClock())
    audited(onnx_bundle, session, Items("one", (), (Item("a", None, load),)), monkeypatch)
    seen = session.seen
    # Of the turns of two stages half repeat one image, and the one before them does not count.
    turns = (4 * 4 + 1) * 16
    assert len(seen) == 2 * turns
    for stage in (seen[:turns], seen[turns:]):
        assert len(set(stage)) > turns // 2


def test_nothing_to_repeat_is_refused(onnx_bundle: Bundle) -> None:
    with pytest.raises(InputError, match="none of the images of pictures can be read"):
        self_audit(audit_workload(onnx_bundle, Paced(HandClock(), 0.1), labelled(2, broken=(0, 1))), repeats=4)
    with pytest.raises(UsageError, match="at least 4"):
        self_audit(audit_workload(onnx_bundle, Paced(HandClock(), 0.1), labelled(2)), repeats=3)
