import numpy as np
import pytest

from parity.ours import draw, source_of
from xception.arch.compute import tensors
from xception.arch.spec import Architecture
from xception.arch.variants import VARIANTS, architecture
from xception.convert.naming.rename import (
    HWIM,
    HWIO,
    HWIO_DENSE,
    IO,
    SAME,
    TensorLayout,
    locate_layer,
    relabel,
    rename,
    rename_back,
)
from xception.convert.naming.schemes import NAMING_SCHEMES
from xception.errors import InputError, UsageError

PUBLISHED = [(name, variant) for name, source in NAMING_SCHEMES.items() for variant in source.PUBLISHED_VARIANTS]


def narrow(variant: str) -> Architecture:
    return architecture(variant, width=0.05, num_classes=11)


def numbered(shape: tuple[int, ...]) -> np.ndarray:
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


@pytest.mark.parametrize(
    ("layout", "canonical", "upstream"),
    [
        (SAME, (7,), (7,)),
        (HWIO, (5, 4, 3, 2), (3, 2, 4, 5)),
        (HWIM, (5, 1, 3, 2), (3, 2, 5, 1)),
        (IO, (5, 4), (4, 5)),
        (HWIO_DENSE, (5, 4), (1, 1, 4, 5)),
    ],
)
def test_a_layout_moves_axes_there_and_back(
    layout: TensorLayout, canonical: tuple[int, ...], upstream: tuple[int, ...]
) -> None:
    values = numbered(canonical)
    there = layout.to_upstream(values)
    assert there.shape == layout.upstream_shape(canonical) == upstream
    assert np.array_equal(layout.to_canonical(there), values)


def test_a_convolution_kernel_of_tensorflow_is_height_width_in_out() -> None:
    kernel = numbered((3, 2, 4, 5))
    assert HWIO.to_canonical(kernel)[4, 3, 2, 1] == kernel[2, 1, 3, 4]


def test_a_depthwise_kernel_of_tensorflow_is_height_width_channel_multiplier() -> None:
    kernel = numbered((3, 2, 5, 1))
    assert HWIM.to_canonical(kernel)[4, 0, 2, 1] == kernel[2, 1, 4, 0]


def test_every_variant_has_a_source() -> None:
    assert {variant for _, variant in PUBLISHED} == set(VARIANTS)


@pytest.mark.parametrize(("source", "variant"), PUBLISHED)
def test_names_cover_exactly_the_tensors_of_the_network_and_are_distinct(source: str, variant: str) -> None:
    names = NAMING_SCHEMES[source].tensor_names(VARIANTS[variant])
    assert list(names) == list(tensors(VARIANTS[variant]))
    assert len({there.name for there in names.values()}) == len(names)


@pytest.mark.parametrize(("source", "variant"), PUBLISHED)
def test_renaming_back_and_forth_changes_nothing(source: str, variant: str) -> None:
    spec = narrow(variant)
    values = {name: numbered(shape) + len(name) for name, shape in tensors(spec).items()}
    there = rename_back(values, spec, NAMING_SCHEMES[source])
    back = rename(there, spec, NAMING_SCHEMES[source])
    assert list(back) == list(values)
    assert all(np.array_equal(back[name], values[name]) for name in values)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_file_s_order_does_not_matter(variant: str) -> None:
    spec = narrow(variant)
    drawn = draw(spec)
    straight, reversed_ = (
        rename(values, spec, source_of(variant)) for values in (drawn, dict(reversed(list(drawn.items()))))
    )
    assert all(np.array_equal(straight[name], reversed_[name]) for name in straight)


def test_half_and_double_precision_become_float32() -> None:
    spec = narrow("mini_xception")
    values = {name: value.astype(np.float64) for name, value in draw(spec).items()}
    assert {value.dtype for value in rename(values, spec, NAMING_SCHEMES["keras"]).values()} == {np.dtype(np.float32)}


def test_keys_left_over_on_either_side_are_listed() -> None:
    spec = narrow("timm_xception")
    values = draw(spec)
    values["fc2.weight"] = values.pop("fc.weight")
    with pytest.raises(InputError, match=r"missing fc\.weight; not part of it fc2\.weight"):
        rename(values, spec, NAMING_SCHEMES["timm"])


def test_a_tensor_of_another_shape_is_refused_in_the_source_s_layout() -> None:
    spec = narrow("ppcls_xception41")
    values = draw(spec)
    values["_exit_flow._out.weight"] = values["_exit_flow._out.weight"].T
    with pytest.raises(InputError, match=r"_exit_flow\._out\.weight is \(11, 102\), expected \(102, 11\)"):
        rename(values, spec, NAMING_SCHEMES["paddle"])


def test_renaming_back_refuses_what_is_not_the_network_s() -> None:
    with pytest.raises(InputError, match="missing"):
        rename_back({}, narrow("timm_xception"), NAMING_SCHEMES["timm"])


def test_a_source_that_does_not_publish_a_network_says_which_it_does() -> None:
    with pytest.raises(UsageError, match="it has them for gluon_xception65"):
        rename({}, VARIANTS["mini_xception"], NAMING_SCHEMES["gluon"])


def test_two_tensors_that_end_up_with_one_name_are_refused() -> None:
    values = {"module.fc.bias": numbered((2,)), "fc.bias": numbered((2,))}
    with pytest.raises(InputError, match=r"'module\.fc\.bias' and 'fc\.bias' both stand for 'fc\.bias'"):
        relabel(values, lambda name: name.removeprefix("module."))


def test_a_place_knows_its_flow_and_its_number_in_it() -> None:
    place = locate_layer("blocks.12.units.1.between.norm", VARIANTS["timm_xception71"])
    assert (place.role, place.kind) == ("blocks.units.between.norm", "norm")
    assert (place.index, place.unit, place.flow, place.nth, place.is_tail) == (12, 1, "middle", 7, False)
    assert locate_layer("blocks.22.units.0.depthwise", VARIANTS["timm_xception71"]).is_tail
