"""Training on images that may have several classes each, from the list to the figures."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from xception.bundle import open_bundle
from xception.cli.app import run
from xception.data.memory import in_memory
from xception.data.source import Source, is_multi_label
from xception.errors import InputError, UsageError
from xception.train.assembly import assemble
from xception.train.first_run import first_run
from xception.train.label_sets import as_label_sets
from xception.train.logs import read_history
from xception.train.losses import LabelSetLoss, label_set_loss
from xception.train.recipe import Recipe, load_recipe
from xception.train.settings import LossSettings
from xception.train.storage import open_storage
from xception.train.trainer import train_network

CLASSES = ("blue", "green", "red")
IMAGES = 90


def image(index: int) -> tuple[NDArray[np.uint8], tuple[int, ...]]:
    """Noise in which each channel is bright or dark by itself, and the classes of the bright ones, maybe none."""
    rng = np.random.Generator(np.random.PCG64(index))
    bright = [(index >> bit) & 1 for bit in range(3)]
    levels = rng.integers(0, 90, (24, 24, 3)) + 150 * np.array(bright[::-1])
    return levels.astype(np.uint8), tuple(place for place in range(3) if bright[place])


@pytest.fixture(scope="module")
def source() -> Source:
    images, targets = zip(*map(image, range(IMAGES)), strict=True)
    return in_memory(images, targets, CLASSES)


def recipe(*changes: str) -> Recipe:
    settings = ["loss.name=binary_cross_entropy", "epochs=4", "model.width=0.5", "model.norm_momentum=0.2"]
    size = "preprocess.resize={rule='squash', width_px=24, height_px=24}"
    return load_recipe("photos", [*settings, size, "batch_size=16", *changes])


def test_a_run_learns_every_class_by_itself_and_is_repeated_to_the_same_bits(source: Source, tmp_path: Path) -> None:
    notes: list[str] = []
    bundle = train_network(recipe("mix.mixup=0.2"), source, out=tmp_path / "run", on_note=notes.append)
    assert bundle.model.activation == "sigmoid"
    last = read_history(open_storage(tmp_path / "run"))[-1]
    assert last.validation_average_precision is not None
    assert last.validation_average_precision > 0.9
    assert last.validation_top1 is None
    assert any("mean average precision decides" in note for note in notes)
    again = train_network(recipe("mix.mixup=0.2"), source, out=tmp_path / "again", workers=0)
    assert again.tensors().keys() == bundle.tensors().keys()
    assert all((again.tensors()[name] == tensor).all() for name, tensor in bundle.tensors().items())


def test_the_way_from_a_list_to_the_figures_is_one_command_after_the_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = ["file_name,tags"]
    for index in range(IMAGES):
        pixels, own = image(index)
        Image.fromarray(pixels).save(f"{index}.png")
        lines.append(f"{index}.png,{' '.join(CLASSES[place] for place in own)}")
    Path("list.csv").write_text("\n".join(lines))
    run(["data", "check", "list.csv"])
    small = ["--set", "model.width=0.5", "--set", "epochs=2", "--out", "run"]
    run(["train", "list.csv", *small, "--set", "preprocess.resize={rule='squash', width_px=24, height_px=24}"])
    printed = capsys.readouterr()
    assert "every class has a sigmoid of its own" in printed.err
    assert "mean average precision on list.csv:validation" in printed.out
    assert "xception evaluate run/bundle list.csv:validation" in printed.err
    assert "Mean average precision" in Path("run/report.html").read_text()
    judged = ["evaluate", "run/bundle", "list.csv:validation", "--threshold", "0.4"]
    run([*judged, "--predictions", "rows.csv", "--logits"])
    printed = capsys.readouterr()
    assert "at the threshold 0.4" in printed.out
    assert "blue|green" in Path("rows.csv").read_text()
    run(["evaluate", "--results", "rows.csv", "--threshold", "0.4"])
    again = capsys.readouterr().out
    assert [line for line in again.splitlines() if "F1" in line] == [
        line for line in printed.out.splitlines() if "F1" in line
    ]
    assert open_bundle("run/bundle").labels.names == CLASSES
    run(["predict", "run/bundle", "0.png", "--threshold", "0.999999", "--csv"])
    assert capsys.readouterr().out.splitlines() == ["path,rank,index,label,probability,failure", "0.png,,,,,"]
    run(["predict", "run/bundle", "0.png", "7.png", "--threshold", "0.000001"])
    assert all(line.count("%") == 3 for line in capsys.readouterr().out.splitlines())
    for threshold, out, taken in (("0.999999", "none.jsonl", "[]"), ("0.000001", "all.jsonl", '["')):
        assert run(["predict", "run/bundle", "0.png", "7.png", "--threshold", threshold, "--out", out]) == 0
        assert Path(out).read_text().count(f'"labels":{taken}') == 2
    capsys.readouterr()
    assert run(["evaluate", "run/bundle", "list.csv:validation", "--min-top1", "0.5"]) == 2
    refused = capsys.readouterr()
    assert "take --min-map" in refused.err
    assert refused.out == ""


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["loss.name=cross_entropy"], "pass --set loss.name=binary_cross_entropy"),
        (["loss.name=cross_entropy", "loss.logit_adjustment=0.2"], "binary_cross_entropy --set loss.logit_adjustment="),
        (["sampling=balanced"], "pass --set sampling=shuffled"),
        (["monitor=top1"], "monitor is top1, and the images may have several classes; expected average_precision"),
        (["loss.smoothing_over=others"], "takes from the only class of an image"),
        (["loss.class_weights=[1.0, 2.0]"], "holds 2 numbers, and the data have 3 classes"),
    ],
)
def test_settings_of_one_class_per_image_are_refused(changes: list[str], message: str, source: Source) -> None:
    with pytest.raises(UsageError, match=message):
        assemble(recipe(*changes), (source, source))


def test_average_precision_is_no_figure_of_one_class_per_image() -> None:
    single = in_memory([image(index)[0] for index in range(8)], [0, 1] * 4, ("a", "b"))
    with pytest.raises(UsageError, match="measured of multi-label data only"):
        assemble(recipe("monitor=average_precision"), (single, single))
    both = in_memory([image(index)[0] for index in range(8)], [(0, 1)] * 8, ("a", "b"))
    with pytest.raises(InputError, match="expected data of one kind"):
        assemble(recipe(), (single, both))
    with pytest.raises(InputError, match="every class of the 8 training images is that of all or of none"):
        assemble(recipe(), (both, both))


def test_a_validation_part_whose_images_have_one_class_each_is_judged_alike(source: Source) -> None:
    single = in_memory([image(index)[0] for index in range(4)], [0, 1, 2, 0], CLASSES)
    parts = assemble(recipe(), (source, single))
    assert is_multi_label(parts.validation)
    assert [item.target for item in as_label_sets(single)] == [(0,), (1,), (2,), (0,)]
    assert as_label_sets(source) is source


def test_the_loss_is_torchs_with_positive_weights() -> None:
    logits, targets = torch.randn(6, 3), (torch.rand(6, 3) < 0.4).float()
    counts = np.array([10, 40, 80])
    weights = torch.tensor([9.0, 1.5, 0.25])
    found = label_set_loss(LossSettings(name="binary_cross_entropy", class_weights="balanced"), counts, 100)
    expected = torch.nn.BCEWithLogitsLoss(pos_weight=weights)(logits, targets)
    assert torch.allclose(found(logits, targets), expected)
    roots = label_set_loss(LossSettings(name="binary_cross_entropy", class_weights="square_root"), counts, 100)
    assert torch.allclose(
        roots(logits, targets), torch.nn.BCEWithLogitsLoss(pos_weight=weights.sqrt())(logits, targets)
    )
    smooth = torch.nn.BCEWithLogitsLoss()(logits, targets * 0.8 + 0.1)
    assert torch.allclose(LabelSetLoss(0.2)(logits, targets), smooth)


def test_a_first_run_chooses_sigmoids(tmp_path: Path) -> None:
    for index in range(4):
        Image.fromarray(image(index)[0]).save(tmp_path / f"{index}.png")
    (tmp_path / "list.csv").write_text("path,a,b\n0.png,1,0\n1.png,1,1\n2.png,0,0\n3.png,0,1\n")
    sampled = "sampling=shuffled"
    for start, expected in ((None, False), ("models/a", True)):
        chosen = first_run(str(tmp_path / "list.csv"), start)
        assert "loss.name=binary_cross_entropy" in chosen.changes
        assert (sampled in chosen.changes) == ("loss.logit_adjustment=" in chosen.changes) == expected
