from dataclasses import replace

import pytest

from tests.train.samples import EPOCH
from xception.bundle import Bundle
from xception.report.training import TrainingPage, render_training

ROW = {name: getattr(EPOCH, name) for name in EPOCH.__struct_fields__}
JUDGED = ROW | {"validation_loss": 0.5, "epoch": 2, "steps": 6}


@pytest.fixture(scope="module")
def training(weights_bundle: Bundle) -> TrainingPage:
    return TrainingPage(
        bundle=weights_bundle,
        rows=[ROW, JUDGED],
        settings={"optim.lr": 0.125, "optim.clip_norm": None, "model.variant": "<mini>"},
        environment={"torch": "2.13.0"},
        speed="20.0 ms/step, 50.0 images/s per device, 1 device",
    )


def test_the_page_holds_curves_rows_settings_and_surroundings(training: TrainingPage) -> None:
    html = render_training(training)
    assert html.count("<svg") == 1
    for text in ("0.125", "validation top1", "0.3333", "2.13.0", "20.0 ms/step", "50.0 images/s per device"):
        assert text in html
    assert "&lt;mini&gt;" in html
    assert "http" not in html.replace("http-equiv", "").replace("http://www.w3.org", "")


def test_a_run_that_was_never_judged_has_no_curves(training: TrainingPage) -> None:
    assert "<svg" not in render_training(replace(training, rows=[ROW]))
    assert "<svg" not in render_training(replace(training, rows=[]))
