"""Tensors that training scripts and other tasks put next to a classifier's, and networks of others that resemble ours.

`KNOWN_EXTRAS` is asked about tensors that have no place in the network. A row whose `needed` is empty is dropped with a
word in the report, since no logit depends on such a tensor; any other row is the reason for a refusal.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

_METRICS = (
    r"(?:top_?\d_?)?acc\w*|auroc|auc|ap|average_precision|f1\w*|precision|recall|metrics?|confmat|confusion_matrix"
    r"|specificity|kappa|eer|mcc"
)


@dataclass(frozen=True, kw_only=True)
class KnownExtra:
    """One kind of tensor.

    Attributes:
        pattern: fits the whole name, without the prefix of the network that it stands next to.
        example: the name of such a tensor.
        what: what such a tensor is, for the report.
        needed: the reason why the logits depend on it, and what to do; "" if they do not.
    """

    pattern: str
    example: str
    what: str
    needed: str = ""


KNOWN_EXTRAS: tuple[KnownExtra, ...] = (
    KnownExtra(
        pattern=r"(.*[./])?(\w+_)?(criterion|loss|losses)(_\w+)?[./].*|(.*[./])?(class_weights?|pos_weight)",
        example="criterion.weight",
        what="the loss",
    ),
    KnownExtra(
        pattern=rf"(.*[./])?((train|training|val|valid|validation|test)_)?({_METRICS})(_(train|val|valid|test))?[./].*",
        example="train_acc.tp",
        what="metrics",
    ),
    KnownExtra(pattern=r"(.*\.)?(total_ops|total_params)", example="conv1.total_ops", what="counts of a profiler"),
    KnownExtra(
        pattern=r"n_averaged|num_updates|ema_decay|decay|initted|step",
        example="n_averaged",
        what="state of a running average",
    ),
    KnownExtra(pattern=r"(.*\.)?queue(_ptr)?", example="queue_ptr", what="a queue of contrastive training"),
    # Its 512 channels would not fit a classifier of the network's width, so it lies outside of the classifier's way.
    KnownExtra(
        pattern=r"(.*\.)?adjust_channel\..*",
        example="adjust_channel.0.weight",
        what="DeepfakeBench's layer for other detectors",
    ),
    KnownExtra(
        pattern=r"(.*\.)?(aux|auxiliary)(_\w+)?\..*",
        example="aux_head.fc.weight",
        what="an auxiliary classifier of the training",
    ),
    KnownExtra(
        pattern=r"(.*\.)?(decoder|segmentation_head|decode_head)\..*",
        example="decoder.blocks.0.conv1.0.weight",
        what="the decoder of a segmentation network; its encoder may pad convolutions unlike any classifier",
    ),
    KnownExtra(
        pattern=(
            r"(aspp\d*(_\w+)?|image_pooling|concat_projection|decoder|logits/semantic)/.*"
            r"|(.*\.)?(aspp|image_pooling|concat_projection)\..*"
        ),
        example="aspp0/weights",
        what="the parts of DeepLab behind its backbone",
    ),
    KnownExtra(
        pattern=r"(.*\.)?((pixel|image|img|input)_)?(mean|std)|(.*\.)?(normalizer?|normalization)\.\w+",
        example="normalize.mean",
        what="the constants of a normalisation",
        needed="the network normalises images itself; compare the constants with the preprocessing of the bundle",
    ),
    KnownExtra(
        pattern=r".*\.(weight_[gv]|parametrizations\..*)",
        example="fc.weight_g",
        what="a parametrisation",
        needed="the kernels are split into factors; call torch.nn.utils.parametrize.remove_parametrizations or "
        "remove_weight_norm on its layers and save again",
    ),
    KnownExtra(
        pattern=r".*\.(weight|bias)_(orig|mask|u)",
        example="fc.weight_mask",
        what="the masks of a pruning",
        needed="the kernels are pruned or normalised while the network runs; call torch.nn.utils.prune.remove or "
        "remove_spectral_norm on its layers and save again",
    ),
    KnownExtra(
        pattern=r".*[._](lora_(A|B|up|down)|base_layer)\..*",
        example="fc.lora_A.default.weight",
        what="adapters",
        needed="adapters change the kernels; call merge_and_unload and save again",
    ),
    KnownExtra(
        pattern=r".*(activation_post_process|fake_quant|_packed_params)(_\d+)?(\..*)?",
        example="conv1.activation_post_process.scale",
        what="a quantization",
        needed="the network was trained or saved in int8; save it in float32, convert it, and quantize the bundle",
    ),
)

STRANGERS: dict[str, str] = {
    r"(.*\.)?block20\.rep\.\d+\.bn\.weight": "the backbone of Jfzhang95's pytorch-deeplab-xception",
    r"(.*\.)?block20\.sepconv\d\.depthwise\.weight": "the backbone of YudeWang's deeplabv3plus-pytorch",
    r"(.*\.)?midflow\.(block)?\d+\.rep\..*": "the backbone of Tramac's awesome-semantic-segmentation-pytorch",
    r"(.*/)?exit_flow_block2_separable_conv3_pointwise/.*": "the backbone of bonlime's keras-deeplab-v3-plus",
}
"""Networks for segmentation by one of their names: aligned networks that differ from every published classifier."""


def known_extra(name: str) -> KnownExtra | None:
    """The row for a tensor; None for an unknown one."""
    return next((row for row in KNOWN_EXTRAS if re.fullmatch(row.pattern, name)), None)


def needed_extra(names: Iterable[str]) -> tuple[str, KnownExtra] | None:
    """The first of these tensors on which logits depend, and its row."""
    rows = ((name, known_extra(name)) for name in names)
    return next(((name, row) for name, row in rows if row and row.needed), None)


def stranger(names: Iterable[str]) -> str | None:
    """The network of others to which these tensors belong."""
    every = tuple(names)
    return next(
        (what for pattern, what in STRANGERS.items() if any(re.fullmatch(pattern, name) for name in every)), None
    )
