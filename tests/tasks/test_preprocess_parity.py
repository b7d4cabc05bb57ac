from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import ExifTags

from tests.support.samples import CLASSES, OneAtATime, encoded, labelled, picture
from xception import preprocess
from xception.backends.base import open_session
from xception.bundle import Bundle
from xception.data.source import Item, Items
from xception.data.sources import open_source
from xception.errors import CheckFailed, UsageError
from xception.metrics import softmax
from xception.pipeline.engine import Engine
from xception.preprocess import Preprocess, Squash
from xception.tasks.agreement import agreement_of, data_pixels
from xception.tasks.evaluate import evaluate
from xception.tasks.preprocess_alternatives import alternatives
from xception.tasks.preprocess_parity import Swap, parity


def swaps(
    bundle: Bundle, source: Items, others: dict[str, Preprocess] | None = None, **options: int
) -> tuple[Swap, ...]:
    others = alternatives(bundle.model.preprocess) if others is None else others
    with Engine.open(bundle, **options) as engine:
        return parity(engine, source, others).swaps


def mixed(count: int = 20) -> Items:
    """Pictures that are no multiple of the input's size, so that every resize shows."""
    items = [
        Item(f"{i}", i % len(CLASSES), lambda data=encoded(picture(50 + 3 * i, 47 + i, i)): data)  # noqa: B008
        for i in range(count)
    ]
    return Items("mixed", CLASSES, tuple(items))


def test_differences_and_agreement_are_those_of_the_logits(onnx_bundle: Bundle) -> None:
    own, source = onnx_bundle.model.preprocess, mixed()
    session = open_session(onnx_bundle)
    theirs = session(data_pixels(source, own))
    for swap in swaps(onnx_bundle, source):
        expected = agreement_of(session(data_pixels(source, swap.preprocess)), theirs)
        assert swap.agreement is not None
        assert swap.same_top1 is not None
        for figure in ("max_abs_diff", "mean_abs_diff", "relative_diff", "top1_agreement"):
            assert getattr(swap.agreement, figure) == pytest.approx(getattr(expected, figure), rel=1e-5, abs=1e-7)
        assert swap.same_top1.value == expected.top1_agreement
    session.close()


def test_accuracies_are_those_of_two_evaluations(onnx_bundle: Bundle) -> None:
    source = mixed()
    other = msgspec.structs.replace(onnx_bundle.model.preprocess, color="bgr")
    (swap,) = swaps(onnx_bundle, source, {"bgr": other})
    session = open_session(onnx_bundle)
    swapped = replace(onnx_bundle, model=msgspec.structs.replace(onnx_bundle.model, preprocess=other))
    first, second = (evaluate(Engine.of(bundle, session), source).top1 for bundle in (onnx_bundle, swapped))
    session.close()
    assert (swap.own_top1, swap.top1) == (first, second)
    assert swap.difference is not None
    assert first is not None
    assert second is not None
    assert swap.difference.value == pytest.approx(second.value - first.value)


def test_every_alternative_of_the_model_shows(onnx_bundle: Bundle) -> None:
    """The small model's own crop has an even margin, so its two roundings are one; its images carry no EXIF."""
    silent = {swap.name for swap in swaps(onnx_bundle, mixed()) if swap.agreement and swap.agreement.max_abs_diff == 0}
    assert silent <= {"crop_offset", "long_side", "no_exif"}


def test_photographs_that_carry_exif_show_what_ignoring_it_does(onnx_bundle: Bundle, tmp_path: Path) -> None:
    for name in CLASSES:
        image = picture(40, 30)
        image.getexif()[ExifTags.Base.Orientation] = 6
        (tmp_path / name).mkdir()
        (tmp_path / name / "0.jpg").write_bytes(encoded(image, "JPEG", exif=image.getexif()))
    ignored = alternatives(onnx_bundle.model.preprocess)["no_exif"]
    (swap,) = swaps(onnx_bundle, open_source(tmp_path), {"no_exif": ignored})
    assert swap.agreement is not None
    assert swap.agreement.max_abs_diff > 0


def test_its_own_preprocessing_changes_nothing(onnx_bundle: Bundle) -> None:
    (swap,) = swaps(onnx_bundle, mixed(), {"own": onnx_bundle.model.preprocess})
    assert swap.agreement is not None
    assert (swap.agreement.max_abs_diff, swap.agreement.top1_agreement) == (0, 1)
    assert swap.difference is not None
    assert swap.difference.value == 0


def test_an_image_that_cannot_be_read_is_counted_and_named(onnx_bundle: Bundle) -> None:
    for swap in swaps(onnx_bundle, labelled(6, broken=(2,))):
        assert (swap.total, swap.seen, swap.failed) == (6, 5, 1)
        assert [failure.path for failure in swap.failures] == ["002"]


def test_a_sliver_that_one_rule_alone_refuses_fails_for_that_one(
    onnx_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preprocess, "MAX_PX", 200_000)
    sliver = encoded(picture(1, 100, 1))
    items = (*labelled(2).items, Item("sliver", 0, lambda: sliver))
    own = onnx_bundle.model.preprocess
    wide = msgspec.structs.replace(own, resize=msgspec.structs.replace(own.resize, px=48))
    others = {"squash": msgspec.structs.replace(own, resize=Squash(width_px=36, height_px=36)), "wide": wide}
    assert [swap.failed for swap in swaps(onnx_bundle, Items("odd", CLASSES, items), others)] == [0, 1]


@pytest.mark.parametrize(
    ("classes", "target", "reason"),
    [((), None, "the data have no labels"), (("unheard of",), 0, "not among the model's")],
)
def test_without_labels_of_the_models_there_is_no_accuracy_but_the_rest(
    onnx_bundle: Bundle, classes: tuple[str, ...], target: int | None, reason: str
) -> None:
    items = tuple(Item(item.key, target, item.load) for item in mixed(3))
    session = open_session(onnx_bundle)
    result = parity(
        Engine.of(onnx_bundle, session), Items("x", classes, items), alternatives(onnx_bundle.model.preprocess)
    )
    session.close()
    assert reason in (result.unlabelled or "")
    for swap in result.swaps:
        assert (swap.own_top1, swap.top1, swap.difference) == (None, None, None)
        assert swap.agreement is not None


def test_the_result_depends_on_neither_batch_nor_workers(onnx_bundle: Bundle) -> None:
    one = swaps(onnx_bundle, mixed(9), batch_size=1, workers=1)
    many = swaps(onnx_bundle, mixed(9), batch_size=7, workers=4)
    for first, second in zip(one, many, strict=True):
        assert (first.same_top1, first.top1, first.seen) == (second.same_top1, second.top1, second.seen)
        assert first.agreement is not None
        assert second.agreement is not None
        assert first.agreement.max_abs_diff == pytest.approx(second.agreement.max_abs_diff, rel=1e-4)


def test_images_of_a_size_that_the_graph_does_not_take_are_refused(onnx_bundle: Bundle) -> None:
    other = Preprocess(resize=Squash(width_px=40, height_px=41))
    with pytest.raises(UsageError, match="large makes 40x41 px, and the model takes 32x32 px"):
        swaps(onnx_bundle, mixed(1), {"large": other})
    with pytest.raises(UsageError, match="free makes images of any size"):
        swaps(onnx_bundle, mixed(1), {"free": Preprocess()})


def test_no_alternative_at_all_is_refused(onnx_bundle: Bundle) -> None:
    with pytest.raises(UsageError, match="no other preprocessing"):
        swaps(onnx_bundle, mixed(1), {})


class Broken(OneAtATime):
    """A session whose logits are no numbers."""

    name, input_shape, num_classes, batch_size = "broken", (3, 32, 32), len(CLASSES), None

    def __call__(self, pixels: np.ndarray, /) -> np.ndarray:
        return softmax(np.full((len(pixels), len(CLASSES)), 1.0)) * np.nan

    def close(self) -> None:
        pass


def test_logits_that_are_no_numbers_end_the_run(onnx_bundle: Bundle) -> None:
    with pytest.raises(CheckFailed, match="the logits of 0 are not finite numbers"):
        parity(Engine.of(onnx_bundle, Broken()), mixed(2), alternatives(onnx_bundle.model.preprocess))


def test_the_origin_names_the_model_the_data_and_every_alternative(onnx_bundle: Bundle) -> None:
    own = onnx_bundle.model.preprocess
    with Engine.open(onnx_bundle) as engine:
        found = parity(engine, labelled(5), {"nearest": msgspec.structs.replace(own, interpolation="nearest")})
        expected = evaluate(engine, labelled(5))
    assert found.provenance
    assert expected.provenance
    assert found.provenance.models == expected.provenance.models
    assert found.provenance.options["alternatives"]["nearest"]["interpolation"] == "nearest"
    assert found.provenance.data.images == 5
