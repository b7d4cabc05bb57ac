"""Files as training scripts and other tasks write them: a network under names of their own, and more next to it."""

import re
from pathlib import Path

import numpy as np

from tests.convert.checkpoints import Tensors, checkpoint, hollow, prefixed
from xception.convert.diagnosis import Diagnosis, diagnose
from xception.convert.readers.binary import LoadedFile
from xception.convert.readers.checkpoint import Checkpoint


def zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


def layer(name: str, *shape: int) -> Tensors:
    return {f"{name}.weight": zeros(*shape), f"{name}.bias": zeros(shape[0])}


WHOLE = hollow("timm", "timm_xception", num_classes=2)
BACKBONE = {name: value for name, value in WHOLE.items() if not name.startswith("fc.")}
ALIGNED = {name: value for name, value in hollow("timm", "timm_xception65").items() if not name.startswith("head.")}
FEATURES_ONLY = {re.sub(r"^(stem|blocks)\.", r"\1_", name): value for name, value in ALIGNED.items()}
DEEPLAB = {
    **{name: value for name, value in hollow("tfslim", "timm_xception65").items() if "/logits/" not in name},
    **dict.fromkeys(("aspp0/weights", "aspp1_depthwise/depthwise_weights", "image_pooling/BatchNorm/beta"), zeros(1)),
    **dict.fromkeys(("concat_projection/weights", "decoder/feature_projection0/weights"), zeros(1)),
    **dict.fromkeys(("logits/semantic/weights", "logits/semantic/biases", "global_step"), zeros(1)),
}


def renamed(old: str, new: str, values: Tensors = WHOLE) -> Tensors:
    return {(new + name.removeprefix(old) if name.startswith(old) else name): value for name, value in values.items()}


TAKEN = {
    "fc.1": renamed("fc.", "fc.1."),
    "last_linear.1": renamed("fc.", "last_linear.1."),
    "module.classifier.1": prefixed(renamed("fc.", "classifier.1."), "module."),
    "net.head": prefixed(BACKBONE, "net.backbone.") | layer("net.head", 2, 2048),
    "head.fc of PaddleClas": prefixed(renamed("_exit_flow._out", "head.fc", hollow("paddle", "ppcls_xception41")), ""),
    "head.1 of MindCV": renamed("classifier.", "head.1.", hollow("mindspore", "mindcv_xception")),
}
DROPPED = {
    "the loss": prefixed(WHOLE, "model.") | layer("criterion", 2) | {"class_weights": zeros(2)},
    "metrics": prefixed(WHOLE, "model.") | {"train_acc.tp": zeros(1), "val_auroc.preds": zeros(1)},
    "counts of a profiler": WHOLE | {"total_ops": zeros(1), "block1.rep.0.total_params": zeros(1)},
    "state of a running average": prefixed(WHOLE, "module.") | {"n_averaged": zeros()},
    "DeepfakeBench's layer for other detectors": prefixed(
        renamed("fc.", "last_linear.") | layer("adjust_channel.0", 512, 2048, 1, 1), "backbone."
    ),
    "an auxiliary classifier of the training": WHOLE | layer("aux_head.fc", 2, 728),
    "a queue of contrastive training": WHOLE | {"queue": zeros(128, 64), "queue_ptr": zeros(1)},
}
HEADLESS = {
    "the decoder of a segmentation network": prefixed(BACKBONE, "encoder.")
    | layer("decoder.blocks.0.conv1.0", 3)
    | layer("segmentation_head.0", 3),
    "the parts of DeepLab behind its backbone": DEEPLAB,
}
REFUSED = {
    "two heads": prefixed(BACKBONE, "backbone.") | layer("age", 5, 2048) | layer("sex", 2, 2048),
    "a layer for contrastive training": WHOLE | layer("projector", 128, 2048),
    "a hidden layer": BACKBONE | layer("fc.0", 512, 2048) | layer("fc.3", 2, 512),
    "a classifier of other features": prefixed(BACKBONE | layer("last_linear", 2, 512), "backbone."),
    "an unknown module besides": prefixed(BACKBONE, "encoder.") | layer("mixer", 3) | {"blocks": zeros(1)},
    "a name that begins as the network's do": BACKBONE | layer("block1.rep.9", 3) | layer("conv1.extra", 3),
    "constants of a normalisation": WHOLE | {"mean": zeros(1, 3, 1, 1), "std": zeros(1, 3, 1, 1)},
    "a Keras head whose name says nothing": renamed("predictions/", "dense/", hollow("keras", "keras_xception")),
}
EXPLAINED = {
    "remove_weight_norm": BACKBONE | {"fc.weight_g": zeros(2, 1), "fc.weight_v": zeros(2, 2048), "fc.bias": zeros(2)},
    "prune.remove": WHOLE | {"conv1.weight_mask": zeros(1)},
    "merge_and_unload": WHOLE | {"fc.lora_A.default.weight": zeros(1)},
    "in float32": WHOLE | {"conv1.activation_post_process.scale": zeros(1)},
    "compare the constants with the preprocessing": REFUSED["constants of a normalisation"],
    "several layers in its place, fc.0, fc.3": REFUSED["a hidden layer"],
    "the backbone of Jfzhang95's": {"backbone.block20.rep.1.bn.weight": zeros(1), "backbone.conv1.weight": zeros(1)},
    "the backbone of YudeWang's": {"backbone.block20.sepconv1.depthwise.weight": zeros(1)},
    "the backbone of bonlime's": {"exit_flow_block2_separable_conv3_pointwise/kernel": zeros(1)},
}


def opened(values: Tensors) -> Checkpoint:
    file, contents = Path("model.pth"), checkpoint(values)
    return Checkpoint(path=file, file=LoadedFile(file, memoryview(b"")), **vars(contents))


def diagnosed(values: Tensors) -> Diagnosis:
    return diagnose(checkpoint(values))
