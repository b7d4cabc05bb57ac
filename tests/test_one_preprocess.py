"""One file becomes one tensor: whoever reads it, the network sees the same bits."""

from collections.abc import Iterator
from dataclasses import replace

import msgspec
import pytest
from lightning_fabric import Fabric

from tests.data import faulty
from tests.support.samples import CLASSES, encoded, picture
from xception.backends.base import Logits, Pixels, Session, open_session
from xception.bundle import Bundle
from xception.data.decode import decode
from xception.data.source import Item, Items
from xception.demo import _mistakes
from xception.models.network import Xception, build
from xception.pipeline.engine import Engine
from xception.preprocess import CenterCrop, Preprocess, ShorterSide, Squash
from xception.quantize.calibration import Calibration
from xception.speed.benchmark import benchmark
from xception.tasks.agreement import data_pixels
from xception.tasks.compare import compare
from xception.tasks.evaluate import evaluate
from xception.train.validation import validate
from xception.weights import read_weights

PX = 32
CROP = CenterCrop(width_px=PX, height_px=PX)
RULES = {
    "torchvision": Preprocess(resize=ShorterSide(px=37), crop=CROP),
    "Paddle": Preprocess(
        resize=ShorterSide(px=37, long_side="round"),
        interpolation="bilinear",
        antialias=False,
        crop=CenterCrop(width_px=PX, height_px=PX, offset="floor"),
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
    ),
    "squash": Preprocess(color="bgr", resize=Squash(width_px=PX, height_px=PX), interpolation="bilinear"),
}
FILES = (
    faulty.jpeg(0),
    faulty.turned(1),
    encoded(picture(51, 90, 2, "L")),
    encoded(picture(64, 33, 3, "CMYK"), "JPEG"),
    faulty.sixteen_bit_gray(4),
    encoded(picture(40, 47, 5, "P")),
    encoded(picture(35, 35, 6, "RGBA")),
)


class Recorder:
    """A session that keeps what it is given."""

    def __init__(self, session: Session) -> None:
        self.facts = session.facts
        self._session = session
        self.seen: set[bytes] = set()

    def __call__(self, pixels: Pixels, /) -> Logits:
        self.seen |= {row.tobytes() for row in pixels}
        return self._session(pixels)

    def close(self) -> None:
        self._session.close()


@pytest.fixture(params=RULES)
def bundle(request: pytest.FixtureRequest, onnx_bundle: Bundle) -> Bundle:
    return with_rule(onnx_bundle, request.param)


def with_rule(bundle: Bundle, rule: str) -> Bundle:
    return replace(bundle, model=msgspec.structs.replace(bundle.model, preprocess=RULES[rule]))


@pytest.fixture
def recorder(bundle: Bundle) -> Iterator[Recorder]:
    recorder = Recorder(open_session(bundle))
    yield recorder
    recorder.close()


def source() -> Items:
    items = [Item(f"{index}", index, lambda data=data: data) for index, data in enumerate(FILES)]
    return Items("files", CLASSES, tuple(items))


def expected(bundle: Bundle) -> set[bytes]:
    tensors = {bundle.model.preprocess(decode(data)).tobytes() for data in FILES}
    assert len(tensors) == len(FILES)
    return tensors


def test_evaluation_prediction_comparison_and_benchmark_see_the_same(bundle: Bundle, recorder: Recorder) -> None:
    engine = Engine.of(bundle, recorder, batch_size=3)
    for work in (
        lambda: evaluate(engine, source()),
        lambda: list(engine.judging().predict(source())),
        lambda: compare(engine, engine, source()),
        lambda: benchmark(engine.judging(), source(), batches=(2,), images=len(FILES)),
    ):
        recorder.seen.clear()
        work()
        assert recorder.seen == expected(bundle)


def test_the_proof_of_an_export_sees_the_same(bundle: Bundle) -> None:
    assert {row.tobytes() for row in data_pixels(source(), bundle.model.preprocess)} == expected(bundle)


@pytest.mark.parametrize("rule", RULES)
def test_validation_in_training_sees_the_same(rule: str, weights_bundle: Bundle) -> None:
    bundle = with_rule(weights_bundle, rule)
    network = build(bundle.model.network.architecture(), read_weights(bundle.main_file))
    seen: set[bytes] = set()
    network.register_forward_pre_hook(lambda _, inputs: seen.update(row.numpy().tobytes() for row in inputs[0]))
    validate(Fabric(accelerator="cpu"), bundle, network, source())
    assert seen == expected(bundle)


@pytest.mark.parametrize("rule", RULES)
def test_the_maps_of_the_demo_see_the_same(rule: str, weights_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = with_rule(weights_bundle, rule)
    seen: set[bytes] = set()
    class_maps = Xception.class_maps
    monkeypatch.setattr(
        Xception, "class_maps", lambda self, pixels: seen.add(pixels.numpy().tobytes()) or class_maps(self, pixels)
    )
    with Engine.open(bundle) as engine:
        cards = list(_mistakes(bundle, evaluate(engine, source()), source()))
    assert cards
    assert seen <= expected(bundle)
    assert len(seen) == len(cards)


def test_calibration_sees_the_same(bundle: Bundle) -> None:
    assert {row.tobytes() for row in Calibration(source(), bundle.model.preprocess)} == expected(bundle)


def test_a_path_with_a_preprocessing_of_its_own_would_be_noticed(bundle: Bundle) -> None:
    other = msgspec.structs.replace(bundle.model.preprocess, interpolation="nearest", antialias=True)
    assert {row.tobytes() for row in data_pixels(source(), other)} != expected(bundle)
