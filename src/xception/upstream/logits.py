"""The sources' own networks on a checkpoint of theirs: a script for interpreters that have NumPy and the framework.

    python logits.py --source keras --variant mini_xception --container keras_h5 --file model.hdf5 ... --out logits.npz

It reads images (N, C, H, W) by name from one .npz file and writes their logits (N, K), or embeddings (N, D), by the
same names to another, with the versions of what it ran on as JSON under "versions". Images of a size that the file's
network does not take are left out. Every file is loaded by the source's own function.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from fnmatch import fnmatchcase
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

NetworkRun = Callable[[np.ndarray], "np.ndarray | None"]
"""Images to logits; None for images of a size that the network does not take."""


def main() -> None:
    """Run one source's network on all images."""
    arguments = _arguments()
    run, versions = RUNNERS[arguments.source](arguments)
    with np.load(arguments.pixels) as images:
        logits = {name: run(images[name]) for name in images.files}
    logits = {name: _pooled(value) for name, value in logits.items() if value is not None}
    named: Any = {**logits, "versions": json.dumps({**versions, "numpy": np.__version__})}
    np.savez(arguments.out, **named)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    for name in ("source", "variant", "container"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--group", default="", help="keys to the dictionary with the weights, with slashes")
    parser.add_argument("--prefix", default="", help="what a wrapper put before their names")
    parser.add_argument("--head", default="", help="the layer that is the classifier, if the source calls it otherwise")
    parser.add_argument("--classifier", default="", help="the source's name for it")
    parser.add_argument("--leave-out", nargs="*", default=[], help="patterns of tensors not to load")
    for name in ("num-classes", "in-channels"):
        parser.add_argument(f"--{name}", type=int, required=True)
    for name in ("output", "activated-by"):
        parser.add_argument(f"--{name}", type=json.loads, default=[], help="path of a layer, as a list of names")
    parser.add_argument("--model-args", type=json.loads, default={}, help="how the network departs from the published")
    for name in ("factor", "shift"):
        parser.add_argument(f"--{name}", type=json.loads, help="arithmetic per channel inside of the network")
    for name in ("file", "pixels", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--code", type=Path, help="a checkout of the source's repository")
    return parser.parse_args()


def _pooled(answers: np.ndarray) -> np.ndarray:
    """Answers, or the averages of feature maps (N, C, H, W), which is what becomes of them here."""
    return answers.mean((2, 3)) if answers.ndim == 4 else answers


def weights_of(saved: Any, arguments: argparse.Namespace) -> dict[str, Any]:
    """The tensors that were converted of what a file holds, without the wrapper's prefix, the classifier under the
    source's name."""
    chosen = _group(saved, arguments.group)
    heads = tuple(arguments.head + separator for separator in "./") if arguments.head else ()
    state = {}
    for name, value in chosen.items():
        is_inside = name.startswith(arguments.prefix)
        own = name[len(arguments.prefix) :] if is_inside else name
        if own.startswith(heads):
            state[arguments.classifier + own[len(arguments.head) :]] = value
        elif is_inside and not any(fnmatchcase(own, pattern) for pattern in arguments.leave_out):
            state[own] = value
    return state


def _group(saved: Any, path: str) -> dict[str, Any]:
    """The dictionary to which the keys and places in a path lead."""
    for part in path.split("/") if path else []:
        saved = saved[int(part)] if isinstance(saved, (list, tuple)) else saved[part]
    return saved  # type: ignore[no-any-return]


def _timm(arguments: argparse.Namespace) -> tuple[NetworkRun, dict[str, str]]:
    import torch

    timm = _import_timm(torch)
    name = {"timm_xception": "legacy_xception"}.get(arguments.variant, arguments.variant.replace("timm_", ""))
    if arguments.file.is_dir():
        network = timm.create_model(f"local-dir:{arguments.file}", pretrained=True)
    else:
        departures = {"num_classes": arguments.num_classes, "in_chans": arguments.in_channels, **arguments.model_args}
        network = timm.create_model(name, **departures)
        network.load_state_dict(_torch_state(torch, arguments))
    network.eval()

    def logits(pixels: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return network(torch.from_numpy(pixels)).numpy()  # type: ignore[no-any-return]

    return logits, {"timm": timm.__version__, "torch": torch.__version__}


def _torch_state(torch: Any, arguments: argparse.Namespace) -> dict[str, Any]:
    if arguments.container == "safetensors":
        saved = import_module("safetensors.torch").load_file(arguments.file)
    else:
        # Training scripts save their arguments next to the weights; a Namespace can do no harm.
        torch.serialization.add_safe_globals([argparse.Namespace])
        saved = torch.load(arguments.file, map_location="cpu", weights_only=True)
    state = weights_of(saved, arguments)
    # Cadene's files, which timm's own loader takes after the same changes.
    state = {
        name.replace("last_linear.1.", "fc.").replace("last_linear.", "fc."): value for name, value in state.items()
    }
    return {
        name: value[:, :, None, None] if ".pointwise." in name and value.ndim == 2 else value
        for name, value in state.items()
    }


def _import_timm(torch: Any) -> ModuleType:
    """timm, also where its torchvision does not fit torch: then the two operators that it asks for are declared."""
    try:
        return import_module("timm")
    except RuntimeError:
        for name in [name for name in sys.modules if name.partition(".")[0] in ("timm", "torchvision")]:
            del sys.modules[name]
    library = torch.library.Library("torchvision", "DEF")
    for operator in ("nms", "qnms"):
        library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    timm = import_module("timm")
    vars(timm)["torchvision_operators"] = library  # they live as long as it does
    return timm


def _keras(arguments: argparse.Namespace) -> tuple[NetworkRun, dict[str, str]]:
    keras = import_module("keras")
    saved = _described(keras, arguments)
    if saved is not None:
        network = _answering(keras, _of_any_size(keras, saved, arguments), arguments)
    elif arguments.variant == "keras_xception" and not arguments.head:
        head: dict[str, Any] = {"classes": arguments.num_classes, "classifier_activation": None}
        if not arguments.num_classes:
            head = {"include_top": False, "pooling": "avg"}
        pixels = keras.Input((None, None, arguments.in_channels))
        network = keras.applications.Xception(weights=None, input_tensor=pixels, **head)
        network.load_weights(arguments.file)
    else:
        raise SystemExit("the file holds weights without the network, which no package has; save the whole model")
    sides = tuple(network.input_shape[1:3])

    def logits(pixels: np.ndarray) -> np.ndarray | None:
        values = pixels.transpose(0, 2, 3, 1)
        if None not in sides and values.shape[1:3] != sides:
            return None
        if arguments.factor:
            values = ((values - np.array(arguments.shift)) / np.array(arguments.factor)).astype(np.float32)
        result: np.ndarray = np.asarray(network(values, training=False))
        return result.transpose(0, 3, 1, 2) if result.ndim == 4 else result

    backend = import_module(keras.backend.backend())
    return logits, {"keras": keras.__version__, backend.__name__: backend.__version__}


def _described(keras: Any, arguments: argparse.Namespace) -> Any:
    """The network of a file or folder that describes it, None of a file with nothing but weights."""
    if arguments.file.is_dir():
        saved = keras.saving.deserialize_keras_object(json.loads((arguments.file / "config.json").read_text()))
        saved.load_weights(arguments.file / "model.weights.h5")
        return saved
    if arguments.container in ("keras_h5", "keras_zip"):
        return keras.models.load_model(arguments.file, compile=False)
    return None


def _of_any_size(keras: Any, saved: Any, arguments: argparse.Namespace) -> Any:
    """The network of a file, on images of any size where its layers take them."""
    if any(hasattr(layer, "layers") for layer in saved.layers) or not hasattr(saved, "input_names"):
        # Networks inside are of one size, unless they were made without.
        return saved
    pixels = keras.Input((None, None, arguments.in_channels))
    network = keras.models.clone_model(saved, input_tensors=[pixels] if isinstance(saved.input, list) else pixels)
    network.set_weights(saved.get_weights())
    return network


def _answering(keras: Any, network: Any, arguments: argparse.Namespace) -> Any:
    """The part of a network up to the wanted output, which is logits: what makes probabilities is taken away."""
    if arguments.activated_by:
        layer = network
        for name in arguments.activated_by:
            layer = layer.get_layer(name)
        if type(layer).__name__ == "Softmax":
            layer.call = lambda inputs, **_: inputs
        else:
            layer.activation = keras.activations.linear
    if len(network.outputs) == 1:
        return network
    return keras.Model(network.input, network.get_layer(arguments.output[0]).output)


def _keras_hub(arguments: argparse.Namespace) -> tuple[NetworkRun, dict[str, str]]:
    keras_hub, keras = import_module("keras_hub"), import_module("keras")
    if arguments.file.is_dir():
        network = keras_hub.models.ImageClassifier.from_preset(str(arguments.file))
    else:
        models = keras_hub.models
        network = _saved_whole(keras, arguments, models.XceptionBackbone, models.XceptionImageClassifier)
    network.get_layer("predictions").activation = keras.activations.linear
    return _on_channels_last(network), {"keras_hub": keras_hub.__version__, "keras": keras.__version__}


def _zeromodels(arguments: argparse.Namespace) -> tuple[NetworkRun, dict[str, str]]:
    zeromodels, keras = import_module("zeromodels"), import_module("keras")
    classifier = import_module("zeromodels.models.xception").XceptionImageClassify
    any_size = {"image_size": (None, None, arguments.in_channels)}
    if arguments.file.is_dir():
        config = json.loads((arguments.file / "zm_config.json").read_text())
        stated = config.get("vision_config", config)
        names = ("config", "preact", "bn_epsilon", "num_classes")
        network = classifier(**{name: stated[name] for name in names if name in stated}, **any_size)
        weights = [arguments.file / f"model.weights.{ending}" for ending in ("h5", "json")]
        network.load_weights(next(path for path in weights if path.exists()))
    else:
        saved = _saved_whole(keras, arguments, classifier)
        network = classifier.from_config({**saved.get_config(), **any_size})
        network.set_weights(saved.get_weights())
    network.get_layer("predictions").activation = keras.activations.linear
    return _on_channels_last(network), {"zeromodels": zeromodels.__version__, "keras": keras.__version__}


def _saved_whole(keras: Any, arguments: argparse.Namespace, *classes: type) -> Any:
    """The network in a file that describes it; the older format does not say which package its classes are of."""
    if arguments.container not in ("keras_h5", "keras_zip"):
        raise SystemExit("the file holds weights without the network; pass the folder, or save the whole model")
    named = {found.__name__: found for found in classes}
    return keras.models.load_model(arguments.file, compile=False, custom_objects=named)


def _on_channels_last(network: Any) -> NetworkRun:
    def logits(pixels: np.ndarray) -> np.ndarray:
        result: np.ndarray = np.asarray(network(pixels.transpose(0, 2, 3, 1), training=False))
        return result

    return logits


def _paddle(arguments: argparse.Namespace) -> tuple[NetworkRun, dict[str, str]]:
    paddle = import_module("paddle")
    folder = "ppcls.arch.backbone.model_zoo"
    for name in ("ppcls", "ppcls.utils", "ppcls.arch", "ppcls.arch.backbone", folder):
        _declare(name, __path__=[str(arguments.code.joinpath(*name.split(".")))])
    # All that the networks import from the rest of PaddleClas; it fetches pretrained weights.
    _declare("ppcls.utils.save_load", load_dygraph_pretrain=None)
    module = import_module(f"{folder}.xception{'_deeplab' if arguments.variant.endswith('_deeplab') else ''}")
    factory = getattr(module, arguments.variant.replace("ppcls_", "").capitalize())
    network = factory(class_num=arguments.num_classes)
    state = weights_of(paddle.load(str(arguments.file)), arguments)
    missing, unexpected = network.set_state_dict(state)
    _check_loaded(missing, unexpected)
    network.eval()

    def logits(pixels: np.ndarray) -> np.ndarray:
        with paddle.no_grad():
            return network(paddle.to_tensor(pixels)).numpy()  # type: ignore[no-any-return]

    return logits, {"paddle": paddle.__version__}


def _declare(name: str, **attributes: Any) -> None:
    """A module that is there without running the file of that name."""
    sys.modules[name] = ModuleType(name)
    vars(sys.modules[name]).update(attributes)


def _mindspore(arguments: argparse.Namespace) -> tuple[NetworkRun, dict[str, str]]:
    mindspore = import_module("mindspore")
    mindspore.set_context(mode=mindspore.GRAPH_MODE)
    versions = {"mindspore": mindspore.__version__}
    if arguments.variant == "mindcv_xception":
        mindcv = import_module("mindcv")
        network = mindcv.create_model("xception", num_classes=arguments.num_classes, in_channels=arguments.in_channels)
        versions = {"mindcv": mindcv.__version__, **versions}
    else:
        sys.path.insert(0, str(arguments.code / "official/cv/Inception/xception"))
        network = import_module("src.Xception").xception(arguments.num_classes)
    saved = weights_of(mindspore.load_checkpoint(str(arguments.file)), arguments)
    missing, _ = mindspore.load_param_into_net(network, saved, strict_load=False)
    _check_loaded(missing, [])
    network.set_train(False)

    def logits(pixels: np.ndarray) -> np.ndarray:
        return network(mindspore.Tensor(pixels)).asnumpy()  # type: ignore[no-any-return]

    return logits, versions


def _check_loaded(missing: list[str], unexpected: list[str]) -> None:
    """Stop where the framework itself would go on with numbers that are not the file's."""
    if missing or unexpected:
        raise SystemExit(f"the framework did not load {[*missing, *unexpected][:3]}")


RUNNERS = {
    "timm": _timm,
    "gluon": _timm,
    "keras": _keras,
    "keras_hub": _keras_hub,
    "zeromodels": _zeromodels,
    "paddle": _paddle,
    "mindspore": _mindspore,
}
"""Functions that load a file and return its network, by source."""

NEEDS_CODE = ("paddle", "mindspore_xception")
"""Sources and variants whose networks are in no package."""


if __name__ == "__main__":
    main()
