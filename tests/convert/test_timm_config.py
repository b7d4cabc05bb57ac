import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xception.convert.timm_config import timm_config, timm_labels, timm_preprocess
from xception.errors import InputError, UsageError
from xception.labels import Labels
from xception.preprocess import CenterCrop, CropSquash, Preprocess, ShorterSide, Squash

CFG = {"input_size": [3, 299, 299], "crop_pct": 0.8975, "interpolation": "bicubic", "mean": [0.5] * 3, "std": [0.5] * 3}
LABELS = Labels(("cat", "dog"))


def stated(**changes: object) -> dict[str, object]:
    return {"architecture": "xception41", "pretrained_cfg": CFG | changes}


# Published crop fractions and the pixels that timm's own transforms make of them.
@pytest.mark.parametrize(
    ("crop_pct", "resize_px"), [(0.8975, 333), (0.903, 331), (0.94, 318), (1.0, 299), (0.875, 341)]
)
def test_a_crop_fraction_becomes_the_pixels_that_timm_resizes_to(crop_pct: float, resize_px: int) -> None:
    preprocess = timm_preprocess(stated(crop_pct=crop_pct))
    assert preprocess == Preprocess(
        orientation="stored",
        resize=ShorterSide(px=resize_px),
        interpolation="bicubic",
        crop=CenterCrop(width_px=299, height_px=299),
    )


def test_settings_of_pretrainedmodels_call_the_crop_fraction_a_scale() -> None:
    settings = {"input_space": "RGB", "input_size": [3, 299, 299], "mean": [0.5] * 3, "std": [0.5] * 3, "scale": 0.8975}
    assert timm_preprocess(settings) == timm_preprocess(stated())
    assert timm_preprocess(stated(scale=[0.08, 1.0])) == timm_preprocess(stated())


def test_what_is_not_stated_is_what_timm_takes() -> None:
    preprocess = timm_preprocess({"pretrained_cfg": {"input_size": [3, 224, 224]}})
    assert preprocess is not None
    assert (preprocess.resize, preprocess.interpolation) == (ShorterSide(px=256), "bicubic")
    assert (preprocess.mean, preprocess.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def test_older_folders_state_it_without_a_group_of_its_own() -> None:
    assert timm_preprocess(CFG) == timm_preprocess(stated())


def test_a_folder_that_states_no_size_leaves_it_open() -> None:
    assert timm_preprocess({"architecture": "xception41"}) is None
    assert timm_preprocess({"pretrained_cfg": "?"}) is None


def test_squashing_is_kept() -> None:
    preprocess = timm_preprocess(stated(crop_mode="squash", crop_pct=1.0, input_size=[3, 200, 300]))
    assert preprocess is not None
    assert (preprocess.resize, preprocess.crop) == (Squash(height_px=200, width_px=300), None)
    cropped = timm_preprocess(stated(crop_mode="squash", crop_pct=0.5, input_size=[3, 200, 300]))
    assert cropped is not None
    assert (cropped.resize, cropped.output_px) == (Squash(height_px=400, width_px=600), (200, 300))


@pytest.mark.parametrize(
    "changes",
    [
        {"crop_mode": "border"},
        {"interpolation": "lanczos"},
        {"input_size": [3, 299, 200]},
        {"input_size": [5, 299, 299]},
        {"input_size": "299"},
        {"crop_pct": -1.0},
        {"crop_pct": 1e-320},
        {"std": [0.0, 1.0, 1.0]},
        {"mean": [0.5]},
    ],
)
def test_what_timm_does_not_know_or_images_do_not_have_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(InputError, match=r"the preprocessing in config\.json cannot be used"):
        timm_preprocess(stated(**changes))


def test_the_statistics_of_colours_become_those_of_gray_images() -> None:
    found = timm_preprocess(stated(input_size=[1, 299, 299], mean=[0.4, 0.5, 0.6], std=[0.2, 0.3, 0.3]))
    assert found is not None
    assert (found.color, found.mean, found.std) == ("gray", (0.4,), (0.2,))


def test_names_by_index_are_taken_unless_they_are_made_up() -> None:
    assert timm_labels({"id2label": {"1": "dog", "0": "cat"}}, 2) == LABELS
    assert timm_labels({"id2label": {"0": "LABEL_0", "1": "LABEL_1"}}, 2) is None
    assert timm_labels({"id2label": {"0": "cat"}}, 2) is None


def test_class_names_are_found_in_both_places() -> None:
    assert timm_labels({"label_names": ["cat", "dog"]}, 2) == LABELS
    assert timm_labels({"pretrained_cfg": {"label_names": ["cat", "dog"]}}, 2) == LABELS


def test_descriptions_are_names_and_names_are_ids() -> None:
    told = {"label_names": ["n1", "n2"], "label_descriptions": {"n1": "cat", "n2": "dog"}}
    assert timm_labels(told, 2) == Labels(("cat", "dog"), ("n1", "n2"))
    assert timm_labels(told | {"label_descriptions": {"n1": "cat"}}, 2) == Labels(("n1", "n2"))


@pytest.mark.parametrize("names", [None, ["cat"], [1, 2], "ab"])
def test_names_that_do_not_fit_are_none(names: object) -> None:
    assert timm_labels({"label_names": names}, 2) is None


@given(st.integers(1, 600), st.integers(1, 1200))
def test_any_resize_survives_the_way_to_timm_and_back(size_px: int, resize_px: int) -> None:
    preprocess = Preprocess(
        orientation="stored", resize=ShorterSide(px=resize_px), crop=CenterCrop(width_px=size_px, height_px=size_px)
    )
    config = json.loads(json.dumps(timm_config("xception41", 2, preprocess, LABELS)))
    assert timm_preprocess(config) == preprocess


@pytest.mark.parametrize(
    "preprocess",
    [
        Preprocess(orientation="stored", resize=Squash(width_px=64, height_px=48), interpolation="bilinear"),
        Preprocess(
            orientation="stored",
            color="gray",
            resize=ShorterSide(px=72),
            crop=CenterCrop(width_px=64, height_px=64),
            mean=(0.4,),
            std=(0.3,),
        ),
    ],
)
def test_other_preprocessing_that_timm_has_survives_too(preprocess: Preprocess) -> None:
    config = timm_config("xception41", 2, preprocess, Labels(("cat", "dog"), ("n1", "n2")))
    assert timm_preprocess(config) == preprocess
    assert timm_labels(config, 2) == Labels(("cat", "dog"), ("n1", "n2"))
    assert config.get("model_args") == ({"in_chans": 1} if preprocess.channels == 1 else None)


SQUARE = CenterCrop(width_px=9, height_px=9)


@pytest.mark.parametrize(
    "preprocess",
    [
        Preprocess(),
        Preprocess(color="bgr", resize=ShorterSide(px=9), crop=SQUARE),
        Preprocess(resize=ShorterSide(px=9), crop=SQUARE, antialias=False, interpolation="bilinear"),
        Preprocess(resize=ShorterSide(px=9, long_side="round"), crop=SQUARE),
        Preprocess(resize=ShorterSide(px=9), crop=CenterCrop(width_px=9, height_px=9, offset="floor")),
        Preprocess(resize=ShorterSide(px=9), crop=CenterCrop(width_px=9, height_px=8)),
        Preprocess(resize=ShorterSide(px=9), crop=SQUARE, divisor=1.0),
        Preprocess(resize=Squash(width_px=9, height_px=9), crop=SQUARE),
        Preprocess(resize=Squash(width_px=9, height_px=9), fractions=True),
        Preprocess(resize=CropSquash(width_px=9, height_px=9)),
    ],
)
def test_preprocessing_that_timm_has_not_is_refused(preprocess: Preprocess) -> None:
    with pytest.raises(UsageError, match="timm cannot prepare images so"):
        timm_config("xception41", 2, preprocess, LABELS)
