"""KerasHub names the shortcuts, which Keras only numbers; everything else has Keras' names."""

from tests.convert.packages import WIDTHS
from xception.arch.variants import VARIANTS, architecture
from xception.convert.naming.schemes import NAMING_SCHEMES

KERAS_HUB, KERAS = NAMING_SCHEMES["keras_hub"], NAMING_SCHEMES["keras"]


def test_only_the_shortcuts_have_other_names_than_keras_own() -> None:
    spec = VARIANTS["keras_xception"]
    theirs, keras = KERAS_HUB.tensor_names(spec), KERAS.tensor_names(spec)
    different = [name for name, there in theirs.items() if there != keras[name]]
    assert len(different) == 20
    assert all(".shortcut." in name and "_residual_" in theirs[name].name for name in different)


def test_a_network_of_other_widths_is_named_by_its_own_blocks() -> None:
    names = KERAS_HUB.tensor_names(architecture("keras_xception", stackwise=WIDTHS))
    assert names["blocks.3.units.1.pointwise.weight"].name == "block5_sepconv2/pointwise_kernel"
    assert names["blocks.2.shortcut.norm.weight"].name == "block4_residual_bn/gamma"
