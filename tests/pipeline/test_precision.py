from contextlib import closing

import pytest

from tests.support.samples import labelled
from xception.backends.base import Compute, InferPrecision
from xception.bundle import Bundle
from xception.cli.engine import EngineOptions
from xception.goldens import write_with_goldens
from xception.pipeline.engine import Engine
from xception.pipeline.precision import PrecisionChange, change_by_precision


@pytest.fixture(scope="module")
def bundle(weights_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    files = {"weights.safetensors": weights_bundle.path / "weights.safetensors"}
    place = tmp_path_factory.mktemp("precision") / "bundle"
    return write_with_goldens(place, weights_bundle.model, weights_bundle.labels, files)


def change(bundle: Bundle, precision: InferPrecision | None) -> PrecisionChange | None:
    compute = Compute(instances=1, threads=1, precision=precision, device="cpu")
    with closing(Engine.open(bundle, compute=compute)) as engine:
        return change_by_precision(engine)


def test_a_lower_precision_states_what_it_changes(bundle: Bundle) -> None:
    found = change(bundle, "bfloat16")
    assert found
    assert (found.precision, found.images) == ("bfloat16", 3)
    assert 1e-4 < found.largest < 0.05
    assert found.sentence().startswith("bfloat16: logits within ")


def test_the_bundles_own_precision_changes_nothing(bundle: Bundle, weights_bundle: Bundle) -> None:
    assert change(bundle, None) is None
    assert change(bundle, "float32") is None
    assert change(weights_bundle, "bfloat16") is None  # it keeps no answers


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        (0, "tf32: logits within 0.40% of float32 on 3 kept images, the same classes"),
        (2, "tf32: logits within 0.40% of float32 on 3 kept images, another class for 2"),
        (None, "tf32: embeddings within 0.40% of float32 on 3 kept images"),
    ],
)
def test_the_change_is_told_in_one_sentence(other: int | None, sentence: str) -> None:
    assert PrecisionChange(precision="tf32", images=3, largest=0.004, other_classes=other).sentence() == sentence


def test_the_command_line_tells_it(bundle: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    with EngineOptions(precision="bfloat16", instances=1, threads=1).open(bundle, labelled(2)):
        assert "bfloat16: logits within" in capsys.readouterr().err
