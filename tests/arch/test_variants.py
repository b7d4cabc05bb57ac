import pytest

from xception.arch.variants import VARIANTS, architecture, resolve
from xception.errors import AmbiguousName, UnknownName, UsageError

NAMES = {
    "timm_xception",
    "timm_xception41",
    "timm_xception41p",
    "timm_xception65",
    "timm_xception65p",
    "timm_xception71",
    "keras_xception",
    "ppcls_xception41",
    "ppcls_xception41_deeplab",
    "ppcls_xception65",
    "ppcls_xception65_deeplab",
    "ppcls_xception71",
    "mindcv_xception",
    "mindspore_xception",
    "gluon_xception65",
    "mini_xception",
    "mini48_xception",
    "tiny_xception",
    "big_xception",
}


def test_the_published_networks_are_there_under_their_own_names() -> None:
    assert set(VARIANTS) >= NAMES
    assert all(spec.name == name for name, spec in VARIANTS.items())


def test_no_two_rows_describe_the_same_network_under_one_source() -> None:
    assert len(set(VARIANTS.values())) == len(VARIANTS)


def test_the_table_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        VARIANTS["mine"] = VARIANTS["timm_xception"]


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_full_name_resolves_to_itself(name: str) -> None:
    assert resolve(name) == name


@pytest.mark.parametrize(
    ("bare", "candidates"),
    [
        ("xception41", ("ppcls_xception41", "ppcls_xception41_deeplab", "timm_xception41")),
        (
            "xception65",
            ("gluon_xception65", "ppcls_xception65", "ppcls_xception65_deeplab", "timm_xception65"),
        ),
        ("xception71", ("ppcls_xception71", "timm_xception71")),
    ],
)
def test_a_name_that_several_networks_carry_is_refused_with_all_of_them(bare: str, candidates: tuple[str, ...]) -> None:
    with pytest.raises(AmbiguousName, match=", ".join(candidates)) as caught:
        resolve(bare)
    assert caught.value.candidates == candidates


def test_xception_alone_means_eight_networks() -> None:
    with pytest.raises(AmbiguousName) as caught:
        resolve("xception")
    assert len(caught.value.candidates) == 8


@pytest.mark.parametrize(("typed", "meant"), [("tim_xception", "timm_xception"), ("keras_exception", "keras_xception")])
def test_a_mistyped_name_is_refused_with_the_nearest(typed: str, meant: str) -> None:
    with pytest.raises(UnknownName, match=f"unknown variant '{typed}'; did you mean .*{meant}"):
        resolve(typed)


def test_a_name_like_no_other_is_refused_with_all_of_them() -> None:
    with pytest.raises(UnknownName, match=r"known: .*big_xception.*tiny_xception"):
        resolve("qqq")


def test_arguments_change_what_they_name() -> None:
    spec = architecture(
        "timm_xception41", num_classes=5, in_channels=1, width=0.25, output_stride=16, drop_rate=0.3, drop_path_rate=0.1
    )
    assert (spec.num_classes, spec.in_channels, spec.output_stride) == (5, 1, 16)
    assert (spec.stem[0].out_channels, spec.head.drop_rate, spec.drop_path_rate) == (8, 0.3, 0.1)


def test_without_arguments_the_row_itself_is_returned() -> None:
    assert architecture("big_xception") == VARIANTS["big_xception"]


def test_a_value_that_the_variant_cannot_take_is_refused() -> None:
    with pytest.raises(UsageError, match="num_classes is -3"):
        architecture("timm_xception", num_classes=-3)


def test_look_alikes_differ_in_what_sets_them_apart() -> None:
    timm, keras, mindcv = (VARIANTS[f"{name}_xception"] for name in ("timm", "keras", "mindcv"))
    assert (timm.norm.epsilon, keras.norm.epsilon, mindcv.norm.epsilon) == (1e-5, 1e-3, 1e-5)
    assert [spec.blocks[0].pool.padding for spec in (timm, keras, mindcv) if spec.blocks[0].pool] == [
        "symmetric",
        "same",
        "same",
    ]


def test_paddles_deeplab_networks_halve_their_features_and_dilate_their_tail() -> None:
    spec = VARIANTS["ppcls_xception41_deeplab"]
    assert spec.head.feature_scale == 0.5
    assert {unit.dilation for unit in spec.blocks[-1].units} == {2}
    assert {unit.dilation for unit in VARIANTS["timm_xception41"].blocks[-1].units} == {1}


def test_paddles_networks_put_the_pointwise_convolution_first() -> None:
    orders = {unit.order for block in VARIANTS["ppcls_xception71"].blocks for unit in block.units}
    assert orders == {"pointwise_first"}
    assert [block.pool.stride for block in VARIANTS["ppcls_xception71"].blocks if block.pool] == [2, 1, 2, 1, 2, 2]
