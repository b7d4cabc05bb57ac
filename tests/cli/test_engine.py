from pathlib import Path

import pytest

from tests.samples import labelled
from xception.bundle import Bundle
from xception.cli import engine as module
from xception.cli.engine import Engine
from xception.errors import UnknownName, UsageError


@pytest.fixture(autouse=True)
def _four_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "cores", lambda: 4)


@pytest.mark.parametrize(
    ("engine", "images", "instances", "threads"),
    [
        (Engine(), 100, 4, None),
        (Engine(), 9, 2, None),
        (Engine(), 1, 1, None),
        (Engine(threads=2), 100, 2, 2),
        (Engine(instances=3), 1, 3, None),
        (Engine(instances=1, threads=1), 100, 1, 1),
    ],
)
def test_the_cores_are_shared_out_by_what_there_is_to_do(
    engine: Engine, images: int, instances: int, threads: int | None
) -> None:
    compute = engine._compute(images)
    assert (compute.instances, compute.threads) == (instances, threads)


@pytest.mark.parametrize(
    ("engine", "message"),
    [
        (Engine(batch=0), "--batch 0"),
        (Engine(workers=-1), "--workers -1"),
        (Engine(instances=3, threads=2), "more than the 4 cores"),
        (Engine(threads=5), "more than the 4 cores"),
        (Engine(backend="auto", threads=2), "chooses --threads itself"),
        (Engine(backend="auto", precision="bfloat16"), "chooses --precision itself"),
    ],
)
def test_options_that_make_no_sense_are_refused(engine: Engine, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        engine.check()


def test_an_unknown_backend_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnknownName, match="openvino"):
        Engine(backend="openvinno").check()


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_a_session_is_opened_as_asked(backend: str, onnx_bundle: Bundle) -> None:
    with Engine(backend=backend, batch=3, instances=2, threads=1).opened(
        onnx_bundle, labelled(2), pixels="exact"
    ) as running:
        assert (running.session.name, running.session.instances, running.session.threads) == (backend, 2, 1)
        assert running.feed == {"batch_size": 3, "workers": None, "mode": "exact"}


def test_a_mode_that_is_asked_for_goes_before_the_verbs_own(onnx_bundle: Bundle) -> None:
    with Engine(pixels="fast").opened(onnx_bundle, labelled(2), pixels="reference") as running:
        assert running.feed["mode"] == "fast"


def test_auto_runs_what_was_found_to_be_the_fastest(
    onnx_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with Engine(backend="auto").opened(onnx_bundle, labelled(8), pixels="exact") as running:
        assert f"auto: {running.session.name} at batch {running.feed['batch_size']}" in capsys.readouterr().err
    assert list(tmp_path.rglob("fastest/*.json"))
