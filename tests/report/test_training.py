import shutil
from pathlib import Path

import msgspec
import pytest

from tests.report.browser import Page, outside_references
from tests.support.samples import labelled, write_folder
from tests.train.samples import EPOCH, small_recipe
from xception.bundle import Bundle, open_bundle
from xception.data.sources import RUN_FILE
from xception.errors import InputError
from xception.report.html import percent_text
from xception.report.training import render_training, write_page
from xception.tasks.evaluation import Evaluation
from xception.train.assembly import assemble
from xception.train.first_batch import MAX_FIRST_IMAGES
from xception.train.manifest import RunManifest, describe_run
from xception.train.rate_finder import RateSearch
from xception.train.recipe import Recipe
from xception.train.settings import DataSettings, MixSettings
from xception.train.storage import open_storage
from xception.train.trainer import train_network
from xception.train.validation import VALIDATION, read_validation

JUDGED = msgspec.structs.replace(EPOCH, validation_loss=0.5, epoch=2, steps=6)


@pytest.fixture(scope="module")
def manifest() -> RunManifest:
    recipe = small_recipe()
    made = describe_run(recipe, assemble(recipe, (labelled(3), labelled(3))))
    return msgspec.structs.replace(made, environment={"torch": "2.13.0", "cpu": "<cpu>"})


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    root = tmp_path_factory.mktemp("data")
    for split in ("train", "val"):
        write_folder(root / split, 2)
    data = DataSettings(source=str(root))
    return msgspec.structs.replace(small_recipe(), data=data, mix=MixSettings(mixup=0.4), epochs=1)


@pytest.fixture(scope="module")
def whole(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run with its page."""
    out = tmp_path_factory.mktemp("whole") / "run"
    write_page(open_storage(out), train_network(recipe, out=out))
    return out


@pytest.fixture
def page(whole: Path) -> Page:
    return Page((whole / "report.html").read_text())


def evaluation_of(run: Path) -> Evaluation:
    found = read_validation(open_storage(run))
    assert found
    return found


def test_blended_images_are_named_with_the_shares_of_their_classes(page: Page) -> None:
    captions = [str(attrs["alt"]) for tag, attrs in page.elements if tag == "img"][:MAX_FIRST_IMAGES]
    assert any("% " in caption and " + " in caption for caption in captions)


def test_figures_that_are_none_are_refused(whole: Path, tmp_path: Path) -> None:
    assert read_validation(open_storage(tmp_path)) is None
    (tmp_path / VALIDATION).write_text("{}")
    with pytest.raises(InputError, match="holds no evaluation"):
        read_validation(open_storage(tmp_path))


def test_the_page_holds_curves_rows_settings_and_surroundings(weights_bundle: Bundle, manifest: RunManifest) -> None:
    html = render_training(weights_bundle, [EPOCH, JUDGED], manifest)
    assert html.count("<svg") == 1
    assert "<td>[0.75,1.3333333333333333]</td>" in html  # augment.crop_ratio
    for text in ("optim.lr", "validation top1", "0.3333", "2.13.0", "9.0 ms/step", "99.5 images/s"):
        assert text in html
    assert "&lt;cpu&gt;" in html
    assert "http" not in html.replace("http-equiv", "").replace("http://www.w3.org", "")


def test_a_finished_run_shows_what_it_saw_and_what_it_got_wrong(whole: Path, page: Page) -> None:
    bundle = open_bundle(whole)
    validation = evaluation_of(whole)
    assert outside_references((whole / "report.html").read_text()) == []
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    seen = [attrs["alt"] for tag, attrs in page.elements if tag == "img" and "Training image" in str(attrs["alt"])]
    assert len(seen) == MAX_FIRST_IMAGES
    wrong = [attrs["alt"] for tag, attrs in page.elements if tag == "img" and "true label" in str(attrs["alt"])]
    assert len(wrong) == len(validation.mistakes) > 0
    (score,) = bundle.model.metrics.values()
    assert score == validation.score()
    for entry in validation.classes:
        assert f"{entry.label}{entry.support}{percent_text(entry.precision)}{percent_text(entry.recall)}" in page.text


def test_the_page_goes_without_pictures_where_the_data_are_gone(whole: Path, recipe: Recipe, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(whole, copy)
    manifest = msgspec.json.decode((copy / RUN_FILE).read_bytes())
    manifest["data"]["source"] = str(tmp_path / "gone")
    (copy / RUN_FILE).write_bytes(msgspec.json.encode(manifest))
    write_page(open_storage(copy), open_bundle(copy))
    html = (copy / "report.html").read_text()
    assert "<img" not in html
    assert "The picture cannot be read any more" in html


def test_a_resumed_run_shows_pictures_from_the_new_place_of_its_data(recipe: Recipe, tmp_path: Path) -> None:
    root = Path(shutil.copytree(recipe.data.source, tmp_path / "a"))
    train_network(recipe, str(root), out=tmp_path / "run")
    root.rename(tmp_path / "b")
    bundle = train_network(recipe, str(tmp_path / "b"), out=tmp_path / "run", resume=True)
    write_page(open_storage(tmp_path / "run"), bundle)
    assert "The first images, as the network sees them" in (tmp_path / "run" / "report.html").read_text()


def test_the_search_for_a_rate_has_its_curve(weights_bundle: Bundle, manifest: RunManifest) -> None:
    search = RateSearch(rates=(1e-3, 1e-2, 1e-1), losses=(2.0, 1.0, 1.5), chosen=0.01, before=0.1)
    html = render_training(weights_bundle, [EPOCH], manifest, search=search)
    assert html.count("<svg") == 1
    assert "the run takes, 0.01, in place of 0.1" in Page(html).text


def test_a_run_that_was_never_judged_has_no_curves(weights_bundle: Bundle, manifest: RunManifest) -> None:
    for history in ([EPOCH], []):
        assert "<svg" not in render_training(weights_bundle, history, manifest)
