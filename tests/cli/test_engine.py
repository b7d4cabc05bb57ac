import pytest

from tests.support.samples import labelled
from xception.bundle import Bundle
from xception.cli.engine import AnswerOptions, EngineOptions
from xception.errors import UnknownName, UsageError
from xception.pipeline import engine as module


@pytest.fixture(autouse=True)
def _four_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "cores", lambda: 4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (EngineOptions(batch=0), "--batch is 0; expected at least 1"),
        (EngineOptions(readers=-1), "--readers is -1; expected at least 1"),
        (EngineOptions(instances=0), "--instances is 0; expected at least 1"),
        (EngineOptions(instances=3, threads=2), "more than the 4 cores"),
        (EngineOptions(backend="auto", threads=2), "chooses threads itself"),
        (EngineOptions(backend="auto", batch=2), "chooses batch itself"),
        (EngineOptions(backend="auto", precision="bfloat16"), "chooses precision itself"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: EngineOptions, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        options.check()


def test_an_unknown_backend_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnknownName, match="openvino"):
        EngineOptions(backend="openvinno").check()


def test_an_engine_is_opened_as_asked(onnx_bundle: Bundle) -> None:
    options = EngineOptions(backend="openvino", batch=3, instances=2, threads=1, pixels="fast", readers=5)
    with options.open(onnx_bundle, labelled(2)) as engine:
        facts = engine.session.facts
        assert (facts.name, facts.instances, facts.threads) == ("openvino", 2, 1)
        assert (engine.batch_size, engine.workers, engine.mode) == (3, 5, "fast")


def test_the_choice_of_auto_is_told(
    onnx_bundle: Bundle,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    with EngineOptions(backend="auto").open(onnx_bundle, labelled(8)) as engine:
        assert f"auto: {engine.session.facts.name} at batch {engine.batch_size}" in capsys.readouterr().err


def test_images_are_prepared_as_asked(onnx_bundle: Bundle) -> None:
    with AnswerOptions(preprocess="no_exif").open(onnx_bundle, labelled(2)) as engine:
        assert (engine.lane.preprocess.orientation, onnx_bundle.model.preprocess.orientation) == ("stored", "upright")
    with pytest.raises(UnknownName, match="no_exif"):
        AnswerOptions(preprocess="noexif").open(onnx_bundle, labelled(2))
