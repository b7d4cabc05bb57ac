"""Each source's names of the tensors, by examples from its own files, and what else its files hold."""

import numpy as np
import pytest

from parity.ours import draw
from xception.arch.compute import tensors
from xception.arch.spec import Architecture
from xception.arch.variants import VARIANTS, architecture
from xception.convert.naming import paddle
from xception.convert.naming.rename import Tensors, rename
from xception.convert.naming.schemes import NAMING_SCHEMES

EXAMPLES = {
    ("timm", "timm_xception"): {
        "stem.1.after.norm.running_var": "bn2.running_var",
        "blocks.0.units.1.pointwise.weight": "block1.rep.3.pointwise.weight",
        "blocks.1.units.0.depthwise.weight": "block2.rep.1.conv1.weight",
        "blocks.11.units.1.after.norm.bias": "block12.rep.5.bias",
        "blocks.11.shortcut.norm.weight": "block12.skipbn.weight",
        "blocks.12.units.1.depthwise.weight": "conv4.conv1.weight",
        "blocks.12.units.1.after.norm.weight": "bn4.weight",
        "head.classifier.bias": "fc.bias",
    },
    ("timm", "timm_xception41"): {
        "stem.1.conv.weight": "stem.1.conv.weight",
        "blocks.0.units.0.between.norm.running_mean": "blocks.0.stack.conv1.bn_dw.running_mean",
        "blocks.12.units.2.pointwise.weight": "blocks.12.stack.conv3.conv_pw.weight",
        "head.classifier.weight": "head.fc.weight",
    },
    ("timm", "timm_xception41p"): {
        "stem.1.conv.weight": "stem.1.weight",
        "blocks.0.shortcut.conv.weight": "blocks.0.shortcut.weight",
        "blocks.0.before.norm.weight": "blocks.0.norm.weight",
        "blocks.0.units.1.before.norm.weight": "blocks.0.stack.conv2.norm.weight",
        "blocks.12.before.norm.weight": "blocks.12.norm.weight",
    },
    ("gluon", "gluon_xception65"): {
        "blocks.0.shortcut.conv.weight": "block1.skip.conv1.weight",
        "blocks.3.units.0.depthwise.weight": "mid.block4.rep.conv1.conv_dw.weight",
        "blocks.19.units.2.pointwise.weight": "block20.rep.conv3.conv_pw.weight",
        "blocks.0.units.0.between.norm.weight": "block1.rep.conv1.bn.weight",
        "blocks.20.units.2.between.norm.weight": "conv5.bn.weight",
        "blocks.20.units.2.after.norm.weight": "bn5.weight",
    },
    ("paddle", "ppcls_xception71"): {
        "stem.0.after.norm.running_mean": "_entry_flow._conv1._batch_norm._mean",
        "blocks.0.units.0.pointwise.weight": "_entry_flow._conv_0._conv1._pointwise_conv._conv.weight",
        "blocks.20.units.2.depthwise.weight": "_middle_flow._conv_15._conv_2._depthwise_conv._conv.weight",
        "blocks.21.units.1.pointwise.weight": "_exit_flow._conv_0._conv_2._pointwise_conv._conv.weight",
        "blocks.22.units.1.depthwise.weight": "_exit_flow._conv_2._depthwise_conv._conv.weight",
        "head.classifier.weight": "_exit_flow._out.weight",
    },
    ("paddle", "ppcls_xception41_deeplab"): {
        "blocks.0.units.0.between.norm.weight": "xception_41/entry_flow/block1._conv1._bn1.weight",
        "blocks.10.units.2.pointwise.weight": "xception_41/middle_flow/block8._conv3._conv2.weight",
        "blocks.11.units.2.depthwise.weight": "_exit_flow_1._conv3._conv1.weight",
        "blocks.12.units.2.pointwise.weight": "_exit_flow_2._conv3._conv2.weight",
        "head.classifier.bias": "_fc.bias",
    },
    ("mindspore", "mindcv_xception"): {
        "stem.0.after.norm.running_var": "bn1.moving_variance",
        "blocks.0.units.0.after.norm.weight": "blocks.0.rep.1.gamma",
        "blocks.11.units.1.pointwise.weight": "blocks.11.rep.4.pointwise.weight",
        "blocks.12.units.0.depthwise.weight": "conv3.conv1.weight",
        "head.classifier.weight": "classifier.weight",
    },
    ("mindspore", "mindspore_xception"): {
        "blocks.11.units.1.pointwise.weight": "block12.rep.4.pointwise.weight",
        "head.classifier.weight": "fc.weight",
    },
    ("keras", "keras_xception"): {
        "stem.0.conv.weight": "block1_conv1/kernel",
        "blocks.0.units.0.depthwise.weight": "block2_sepconv1/depthwise_kernel",
        "blocks.12.units.1.after.norm.running_var": "block14_sepconv2_bn/moving_variance",
        "blocks.0.shortcut.norm.weight": "batch_normalization/gamma",
        "blocks.11.shortcut.conv.weight": "conv2d_3/kernel",
        "head.classifier.bias": "predictions/bias",
    },
    ("keras", "mini_xception"): {
        "blocks.0.shortcut.conv.weight": "conv2d_2/kernel",
        "blocks.0.shortcut.norm.weight": "batch_normalization_2/gamma",
        "blocks.0.units.0.after.norm.weight": "batch_normalization_3/gamma",
        "blocks.3.units.1.depthwise.weight": "separable_conv2d_7/depthwise_kernel",
        "head.classifier.bias": "conv2d_6/bias",
    },
    ("keras", "big_xception"): {
        "blocks.1.shortcut.norm.weight": "batch_normalization_1/gamma",
        "blocks.1.units.0.after.norm.weight": "block3_sepconv1_bn/gamma",
        "head.classifier.weight": "conv2d_4/kernel",
    },
    ("keras_hub", "keras_xception"): {
        "stem.1.after.norm.running_var": "block1_conv2_bn/moving_variance",
        "blocks.0.units.0.depthwise.weight": "block2_sepconv1/depthwise_kernel",
        "blocks.11.units.1.after.norm.weight": "block13_sepconv2_bn/gamma",
        "blocks.11.shortcut.conv.weight": "block13_residual_conv/kernel",
        "blocks.11.shortcut.norm.weight": "block13_residual_bn/gamma",
        "blocks.12.units.1.pointwise.weight": "block14_sepconv2/pointwise_kernel",
        "head.classifier.bias": "predictions/bias",
    },
    ("zeromodels", "timm_xception41"): {
        "stem.1.after.norm.running_var": "stem_1_bn/moving_variance",
        "blocks.0.units.0.depthwise.weight": "block_0_stack_conv1_dwconv/kernel",
        "blocks.0.units.0.between.norm.running_mean": "block_0_stack_conv1_bn_dw/moving_mean",
        "blocks.12.units.2.pointwise.weight": "block_12_stack_conv3_conv_pw/kernel",
        "blocks.12.units.2.after.norm.bias": "block_12_stack_conv3_bn_pw/beta",
        "blocks.11.shortcut.norm.weight": "block_11_shortcut_bn/gamma",
        "head.classifier.weight": "predictions/kernel",
    },
    ("zeromodels", "timm_xception65p"): {
        "stem.1.conv.weight": "stem_1_conv/kernel",
        "blocks.0.before.norm.weight": "block_0_norm_bn/gamma",
        "blocks.0.units.1.before.norm.weight": "block_0_stack_conv2_norm_bn/gamma",
        "blocks.0.shortcut.conv.weight": "block_0_shortcut_conv/kernel",
    },
    ("lucid", "timm_xception"): {
        "blocks.11.units.1.pointwise.weight": "block12.rep.4.pointwise.weight",
        "head.classifier.weight": "classifier.weight",
    },
    ("tfslim", "timm_xception65"): {
        "stem.1.after.norm.bias": "xception_65/entry_flow/conv1_2/BatchNorm/beta",
        "blocks.3.units.2.depthwise.weight": (
            "xception_65/middle_flow/block1/unit_1/xception_module/separable_conv3_depthwise/depthwise_weights"
        ),
        "blocks.20.units.0.pointwise.weight": (
            "xception_65/exit_flow/block2/unit_1/xception_module/separable_conv1_pointwise/weights"
        ),
        "blocks.2.shortcut.norm.running_mean": (
            "xception_65/entry_flow/block3/unit_1/xception_module/shortcut/BatchNorm/moving_mean"
        ),
        "head.classifier.weight": "xception_65/logits/weights",
    },
}


@pytest.mark.parametrize(("source", "variant"), EXAMPLES)
def test_names_are_those_of_the_source_s_files(source: str, variant: str) -> None:
    names = NAMING_SCHEMES[source].tensor_names(VARIANTS[variant])
    examples = EXAMPLES[source, variant]
    assert {name: names[name].name for name in examples} == examples


def test_static_names_of_paddle_are_those_of_its_own_map() -> None:
    names = paddle.static_names(VARIANTS["ppcls_xception71"])
    examples = {
        "stem.0.conv.weight": "entry_flow_conv1_weights",
        "stem.0.after.norm.weight": "bn_entry_flow_conv1_scale",
        "stem.0.after.norm.running_var": "bn_entry_flow_conv1_variance",
        "blocks.0.shortcut.conv.weight": "entry_flow_0_branch1_weights",
        "blocks.0.units.0.pointwise.weight": "entry_flow_0_branch2a_weights_sep_weights",
        "blocks.0.units.0.after.norm.weight": "bn_entry_flow_0_branch2a_weights_dw_scale",
        "blocks.20.units.2.depthwise.weight": "middle_flow_15_branch2c_weights_dw_weights",
        "blocks.21.units.1.pointwise.weight": "exit_flow_1_branch2b_weights_sep_weights",
        "blocks.22.units.1.depthwise.weight": "exit_flow_3_dw_weights",
        "head.classifier.weight": "fc_weights",
        "head.classifier.bias": "fc_offset",
    }
    assert {name: names[name].name for name in examples} == examples


def test_static_names_of_paddle_s_deeplab_networks_are_those_of_its_own_map() -> None:
    names = paddle.static_names(VARIANTS["ppcls_xception41_deeplab"])
    examples = {
        "stem.0.conv.weight": "xception_41/entry_flow/conv1/weights",
        "blocks.0.units.0.between.norm.weight": (
            "xception_41/entry_flow/block1/separable_conv1/depthwise/BatchNorm/gamma"
        ),
        "blocks.0.shortcut.norm.weight": "xception_41/entry_flow/block1/shortcut/BatchNorm/gamma",
        "blocks.12.units.2.pointwise.weight": "xception_41/exit_flow/block2/separable_conv3/pointwise/weights",
        "head.classifier.bias": "fc_bias",
    }
    assert {name: names[name].name for name in examples} == examples


def same_network(source: str, variant: str, values: Tensors, extra: dict[str, np.ndarray]) -> bool:
    """Whether a changed file still gives the tensors of the plain one."""
    spec = architecture(variant, width=0.05, num_classes=11)
    plain = rename(draw(spec), spec, NAMING_SCHEMES[source])
    changed = rename({**values, **extra}, spec, NAMING_SCHEMES[source])
    return all(np.array_equal(plain[name], changed[name]) for name in plain)


COUNTER = {"bn1.num_batches_tracked": np.array(7)}


@pytest.mark.parametrize(
    "prefix", ["module.", "_orig_mod.", "model.", "module._orig_mod.", "model.module.", "module." * 2000]
)
def test_torch_wrappers_and_batch_counters_do_not_matter(prefix: str) -> None:
    spec = architecture("timm_xception", width=0.05, num_classes=11)
    values = {prefix + name: value for name, value in draw(spec).items()}
    assert same_network("timm", "timm_xception", values, {f"{prefix}{name}": value for name, value in COUNTER.items()})


@pytest.mark.parametrize("classifier", ["last_linear.", "last_linear.1."])
def test_files_of_cadene_and_faceforensics_are_timm_s(classifier: str) -> None:
    spec = architecture("timm_xception", width=0.05, num_classes=11)
    values = {name.replace("fc.", classifier): value for name, value in draw(spec).items()}
    flat = {name: value[:, :, 0, 0] if ".pointwise." in name else value for name, value in values.items()}
    assert same_network("timm", "timm_xception", flat, {})


@pytest.mark.parametrize("variant", ["mindcv_xception", "mindspore_xception"])
def test_training_state_of_mindspore_is_left_out(variant: str) -> None:
    spec = architecture(variant, width=0.05, num_classes=11)
    values = draw(spec)
    slots = {f"moments.{name}": value for name, value in values.items()}
    assert same_network(
        "mindspore", variant, values, {**slots, "global_step": np.array(3), "learning_rate": np.array(0.1)}
    )


@pytest.mark.parametrize("variant", ["ppcls_xception41", "ppcls_xception65_deeplab"])
def test_static_names_and_the_map_of_paddle_are_understood(variant: str) -> None:
    spec = architecture(variant, width=0.05, num_classes=11)
    static = {name: there.name for name, there in paddle.static_names(spec).items()}
    renamed = {there.name: static[name] for name, there in paddle.tensor_names(spec).items()}
    values = {renamed[name]: value for name, value in draw(spec).items()}
    assert same_network("paddle", variant, values, {paddle.NAME_MAP: np.array(0)})


def test_a_slim_file_loses_its_optimizer_and_its_background_class() -> None:
    spec = architecture("timm_xception41", width=0.05, num_classes=11)
    plain = {name: np.random.default_rng(len(name)).random(shape) for name, shape in slim_shapes(spec).items()}
    with_background = {
        name: np.concatenate([value[..., :1] + 9, value], axis=-1) if "/logits/" in name else value
        for name, value in plain.items()
    }
    slots = {f"{name}/Momentum": value for name, value in plain.items()}
    renamed = rename({**with_background, **slots, "global_step": np.array(3)}, spec, NAMING_SCHEMES["tfslim"])
    expected = rename(plain, spec, NAMING_SCHEMES["tfslim"])
    assert all(np.array_equal(renamed[name], expected[name]) for name in expected)


def slim_shapes(spec: Architecture) -> dict[str, tuple[int, ...]]:
    shapes = tensors(spec)
    names = NAMING_SCHEMES["tfslim"].tensor_names(spec)
    return {there.name: there.layout.upstream_shape(shapes[name]) for name, there in names.items()}
