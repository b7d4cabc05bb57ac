import msgspec
import pytest

from tests.support.samples import labelled
from tests.train.samples import EPOCH, small_recipe
from xception.bundle import Bundle
from xception.report.training import render_training
from xception.train.assembly import assemble
from xception.train.manifest import RunManifest, describe_run

JUDGED = msgspec.structs.replace(EPOCH, validation_loss=0.5, epoch=2, steps=6)


@pytest.fixture(scope="module")
def manifest() -> RunManifest:
    recipe = small_recipe()
    made = describe_run(recipe, assemble(recipe, (labelled(3), labelled(3))))
    return msgspec.structs.replace(made, environment={"torch": "2.13.0", "cpu": "<cpu>"})


def test_the_page_holds_curves_rows_settings_and_surroundings(weights_bundle: Bundle, manifest: RunManifest) -> None:
    html = render_training(weights_bundle, [EPOCH, JUDGED], manifest)
    assert html.count("<svg") == 1
    for text in ("optim.lr", "validation top1", "0.3333", "2.13.0", "9.0 ms/step", "99.5 images/s"):
        assert text in html
    assert "&lt;cpu&gt;" in html
    assert "http" not in html.replace("http-equiv", "").replace("http://www.w3.org", "")


def test_a_run_that_was_never_judged_has_no_curves(weights_bundle: Bundle, manifest: RunManifest) -> None:
    for history in ([EPOCH], []):
        assert "<svg" not in render_training(weights_bundle, history, manifest)
