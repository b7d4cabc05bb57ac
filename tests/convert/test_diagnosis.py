"""Checkpoints are told by names and shapes: every variant, whatever wrapped it, whatever it classifies."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from tests.convert.checkpoints import PUBLISHED, WRITERS, checkpoint, drawn, hollow, prefixed
from tests.support.lanes import slow_unless
from xception.arch.variants import VARIANTS
from xception.convert.diagnosis import Diagnosis, diagnose
from xception.convert.match import twins
from xception.convert.naming import paddle
from xception.convert.readers import read_checkpoint

CLASSES_AND_CHANNELS = ((1000, 3), (7, 1), (2, 4))
WRAPPERS = {
    "timm": ("", "module.", "model.module."),
    "gluon": ("", "_orig_mod."),
    "keras": ("",),
    "keras_hub": ("", "xception_backbone/"),
    "zeromodels": ("",),
    "paddle": ("", "backbone."),
    "mindspore": ("", "network."),
    "tfslim": ("",),
}
COMBINATIONS = [
    (source, variant, prefix, group, classes, channels)
    for source, variant in PUBLISHED
    for prefix in WRAPPERS[source]
    for group, (classes, channels) in zip(("", "state_dict", "model"), CLASSES_AND_CHANNELS, strict=True)
]


def is_everyday(combination: tuple[str, str, str, str, int, int]) -> bool:
    """True for each network by itself, and for one of each source whatever wraps it."""
    source, variant, prefix, group, *_ = combination
    return (prefix, group) == ("", "") or variant == next(name for other, name in PUBLISHED if other == source)


def test_there_are_more_than_a_hundred_combinations() -> None:
    assert len(COMBINATIONS) > 100
    assert {variant for _, variant, *_ in COMBINATIONS} == {variant for _, variant in PUBLISHED}


@pytest.mark.parametrize(
    ("source", "variant", "prefix", "group", "classes", "channels"), slow_unless(is_everyday, COMBINATIONS)
)
def test_a_checkpoint_is_told_whatever_wraps_it_and_whatever_it_classifies(
    source: str, variant: str, prefix: str, group: str, classes: int, channels: int
) -> None:
    values = prefixed(hollow(source, variant, num_classes=classes, in_channels=channels), prefix)
    found = diagnose(checkpoint(**{group: values}))
    assert (found.source, found.variant, found.num_classes, found.in_channels, found.width) == (
        source,
        variant,
        classes,
        channels,
        1.0,
    )
    assert found.candidates == (variant, *twins(variant))
    assert found.prefixes == ((prefix,) if prefix else ())
    assert found.matched == len(values)
    assert not (found.missing or found.unexpected or found.misshapen)


@pytest.mark.parametrize(
    ("container", "variant"),
    [
        ("torch_zip", "timm_xception41p"),
        ("torch_zip", "gluon_xception65"),
        ("safetensors", "timm_xception"),
        ("safetensors", "mindcv_xception"),
        ("keras_h5_weights", "keras_xception"),
        ("keras_h5_weights", "mini_xception"),
    ],
)
def test_real_files_are_told(container: str, variant: str, tmp_path: Path) -> None:
    width = 1.0 if variant == "mini_xception" else 0.25
    found = diagnose(read_checkpoint(WRITERS[container](tmp_path / "file", drawn(variant, width=width))))
    assert (found.container, found.variant, found.num_classes, found.width) == (container, variant, 11, width)
    assert found.dtype == "float32"


def test_what_no_file_states_leaves_candidates_with_the_reason() -> None:
    found = diagnose(checkpoint(hollow("timm", "timm_xception")))
    assert found.variant == "timm_xception"
    assert found.candidates == ("timm_xception", "keras_xception", "mindcv_xception", "mindspore_xception")
    assert "all 236 tensors under them fit timm_xception" in found.why
    assert "differs in what no file states, such as epsilon or the padding of pools" in found.why


def test_a_network_that_only_one_variant_has_leaves_no_other_candidate() -> None:
    found = diagnose(checkpoint(hollow("timm", "timm_xception71")))
    assert found.candidates == ("timm_xception71",)
    assert "no file states" not in found.why


def test_narrow_networks_that_several_variants_share_are_told_as_either() -> None:
    found = diagnose(checkpoint(hollow("keras", "mini_xception", width=0.1)))
    assert found.variant is None
    assert set(found.candidates) == {"mini_xception", "mini48_xception", "tiny_xception"}
    assert found.why == "names and shapes fit mini_xception and mini48_xception and tiny_xception alike"


def test_training_state_does_not_matter() -> None:
    values = hollow("mindspore", "mindcv_xception")
    state = prefixed(values, "moments.") | {"global_step": np.zeros(()), "learning_rate": np.zeros(())}
    found = diagnose(checkpoint(values | state))
    assert (found.variant, found.groups, found.group) == ("mindcv_xception", ("", "moments"), "")
    assert found.unexpected == ()


def test_static_names_of_paddle_are_told() -> None:
    values = hollow("paddle", "ppcls_xception65_deeplab")
    spec = VARIANTS["ppcls_xception65_deeplab"]
    names, static = paddle.tensor_names(spec), paddle.static_names(spec)
    renamed = {static[name].name: values[there.name] for name, there in names.items()}
    assert diagnose(checkpoint(renamed)).variant == "ppcls_xception65_deeplab"


def test_an_average_is_told_and_examined_if_asked_for() -> None:
    plain, average = hollow("timm", "timm_xception41", num_classes=3), hollow("timm", "timm_xception41", num_classes=4)
    both = checkpoint(state_dict=plain, state_dict_ema=average)
    found = diagnose(both)
    assert (found.ema, found.groups, found.num_classes) == (True, ("state_dict", "state_dict_ema"), 3)
    assert diagnose(both, average=True).num_classes == 4
    assert diagnose(both, group="state_dict_ema").num_classes == 4
    assert not diagnose(checkpoint(plain)).ema


def test_a_file_without_a_classifier_is_told_with_no_classes() -> None:
    values = hollow("keras", "keras_xception")
    headless = {name: value for name, value in values.items() if not name.startswith("predictions")}
    found = diagnose(checkpoint(headless))
    assert (found.variant, found.num_classes, found.missing) == (
        "keras_xception",
        None,
        ("predictions/kernel", "predictions/bias"),
    )
    assert "there is no classifier, so that its bundle answers with embeddings" in found.why


def test_a_background_class_is_told() -> None:
    found = diagnose(checkpoint(hollow("tfslim", "timm_xception65", num_classes=1001)))
    assert found.num_classes == 1000
    assert "its first class is the background, which is dropped" in found.why


def test_a_file_that_fits_nothing_fully_has_a_nearest_variant_and_its_differences() -> None:
    values = hollow("timm", "timm_xception65") | {"mixer.weight": np.zeros(3)}
    del values["blocks.7.stack.conv2.bn_dw.bias"]
    found = diagnose(checkpoint(values))
    assert (found.variant, found.candidates) == (None, ("timm_xception65",))
    assert (found.missing, found.unexpected) == (("blocks.7.stack.conv2.bn_dw.bias",), ("mixer.weight",))
    assert found.why.startswith("nothing fits fully; nearest is timm_xception65 under the names of timm: missing ")


def test_a_file_of_another_family_is_none_of_these() -> None:
    values = {f"layer{index}.0.conv1.weight": np.zeros((8, 8, 3, 3)) for index in range(4)}
    found = diagnose(checkpoint(values | {"conv1.weight": np.zeros((64, 3, 7, 7)), "fc.bias": np.zeros(1000)}))
    assert (found.source, found.variant, found.candidates, found.num_classes) == (None, None, (), None)
    assert "has a name that a known source gives" in found.why


def test_the_document_names_its_kind_and_returns_from_json() -> None:
    found = diagnose(checkpoint(hollow("keras", "big_xception")))
    document = msgspec.to_builtins(found)
    assert document["kind"] == "checkpoint"
    assert {"container", "variant", "candidates", "num_classes", "in_channels", "matched", "missing"} <= set(document)
    assert msgspec.json.decode(msgspec.json.encode(found), type=Diagnosis) == found
