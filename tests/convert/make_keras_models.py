"""Have Keras build models as people train them, and keep what it states of each, and its answers.

    python -m tests.convert.make_keras_models

In an environment that has Keras. The file in the repository was written by keras 3.15.1 with tensorflow 2.21.0. Weights
are seeded by their names, so that only configurations and answers are kept.
"""

import gzip
import json
from collections.abc import Callable, Iterator
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from parity import seeded

SAMPLE = Path(__file__).parent / "descriptions" / "keras_models.json.gz"

SIZES_PX = (75, 96)
"""An odd and an even side, since faults of padding show at one of the two."""


def image(px: int) -> np.ndarray:
    """Two images (N, H, W, C) of 8-bit values in float32, the same everywhere."""
    return np.round((seeded.pixels(px).transpose(0, 2, 3, 1) + 1) * 127.5).astype(np.float32)


def named_weights(model: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """All weights of a model and of those inside it, named as the reader names them."""
    for layer in model.layers:
        if hasattr(layer, "layers"):
            yield from named_weights(layer, (*path, layer.name))
        else:
            shaped = [weight for weight in layer.weights if weight.shape]
            yield from (("/".join((*path, layer.name, weight.name)), weight) for weight in shaped)


def fill(model: Any) -> dict[str, list[int]]:
    shapes = {}
    for name, weight in named_weights(model):
        shape = tuple(weight.shape)
        fan_in = prod(shape[:2]) if name.endswith("/depthwise_kernel") else prod(shape[:-1])
        if weight.dtype == "float32":
            weight.assign(seeded.tensor(name, shape, seeded.kind_of(name, shape), fan_in))
            shapes[name] = list(shape)
    return shapes


def models() -> dict[str, Callable[[], Any]]:
    import keras
    from keras import layers

    def base(**settings: Any) -> Any:
        return keras.applications.Xception(weights=None, include_top=False, input_shape=(None, None, 3), **settings)

    def head(x: Any, *rest: Any) -> Any:
        for layer in rest:
            x = layer(x)
        return x

    def flat(*rest: Any) -> Any:
        body = base()
        return keras.Model(body.input, head(body.output, *rest))

    def nested(front: tuple[Any, ...], *rest: Any) -> Any:
        start = keras.Input((None, None, 3))
        return keras.Model(start, head(base()(head(start, *front), training=False), *rest))

    def preprocessed() -> Any:
        start = keras.Input((None, None, 3))
        x = keras.applications.xception.preprocess_input(layers.RandomFlip("horizontal")(start))
        rest = (layers.GlobalAveragePooling2D(), layers.Dropout(0.2), layers.Dense(1))
        return keras.Model(start, head(base()(x, training=False), *rest))

    def both_poolings() -> Any:
        body = base()
        pooled = [layer(body.output) for layer in (layers.GlobalAveragePooling2D(), layers.GlobalMaxPooling2D())]
        return keras.Model(body.input, layers.Dense(3, activation="softmax")(layers.Concatenate()(pooled)))

    def embedding(pooling: str | None = None, **settings: Any) -> Any:
        start = keras.Input((None, None, 3))
        x = layers.RandomFlip("horizontal")(start)
        body = base(pooling=pooling)(layers.Rescaling(1 / 127.5, offset=-1)(x), training=False)
        return keras.Model(start, layers.Dropout(0.1)(body), **settings)

    def three_deep() -> Any:
        body = base(pooling="avg")
        inner = keras.Model(body.input, layers.Dense(8, activation="relu", name="hidden")(body.output), name="inner")
        row = keras.Sequential([keras.Input((None, None, 3)), inner, layers.Dropout(0.4)], name="row")
        start = keras.Input((None, None, 3))
        x = row(layers.Rescaling([1 / 60, 1 / 58, 1 / 57], offset=[-2.1, -2.0, -1.8])(start), training=False)
        return keras.Model(start, layers.Dense(3, activation="softmax", name="answer")(x))

    def nested_outputs() -> Any:
        start = keras.Input((None, None, 3))
        pooled = layers.GlobalMaxPooling2D()(base()(layers.Rescaling(1 / 127.5, offset=-1)(start), training=False))
        pooled = layers.Dropout(0.2)(pooled)
        kind = layers.Dense(3, activation="softmax", name="kind")(pooled)
        fake = layers.Dense(1, activation="sigmoid", name="fake")(layers.Dense(4, activation="relu")(pooled))
        return keras.Model(start, {"kind": kind, "fake": fake})

    def two_outputs() -> Any:
        body = base(pooling="avg")
        answers = layers.Dense(3, activation="softmax", name="kind"), layers.Dense(1, activation="sigmoid", name="fake")
        return keras.Model(body.input, [answer(body.output) for answer in answers])

    def softmax(classes: int = 3) -> Any:
        return layers.Dense(classes, activation="softmax")

    average, maximum = layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D
    return {
        "flat": lambda: flat(average(), layers.Dropout(0.3), softmax()),
        "flat_max": lambda: flat(maximum(), softmax()),
        "both_poolings": both_poolings,
        "hidden": lambda: flat(average(), layers.Dense(16, activation="relu"), layers.Dropout(0.5), softmax()),
        "separate_activations": lambda: flat(
            average(), layers.Dense(16), layers.ReLU(), layers.Dense(3), layers.Activation("sigmoid")
        ),
        "without_bias": lambda: flat(average(keepdims=True), layers.Flatten(), layers.Dense(3, use_bias=False)),
        "one_logit": lambda: flat(average(), layers.Dense(1, activation="sigmoid")),
        "nested": lambda: nested((layers.Rescaling(1 / 127.5, offset=-1),), average(), softmax()),
        "nested_255": lambda: nested((layers.RandomZoom(0.1), layers.Rescaling(1 / 255)), average(), softmax()),
        "statistics": lambda: nested(
            (layers.Normalization(mean=[123.0, 117.0, 104.0], variance=[3400.0, 3200.0, 3300.0]),), average(), softmax()
        ),
        "preprocessed": preprocessed,
        "rows": lambda: keras.Sequential(
            [
                keras.Input((None, None, 3)),
                keras.Sequential([layers.RandomFlip(), layers.RandomRotation(0.1)]),
                layers.Rescaling(1 / 127.5, offset=-1),
                base(),
                keras.Sequential([maximum(), layers.Dropout(0.5), softmax()]),
            ]
        ),
        "sigmoids": lambda: keras.applications.Xception(
            weights=None, classes=3, input_tensor=keras.Input((None, None, 3)), classifier_activation="sigmoid"
        ),
        "two_outputs": two_outputs,
        "nested_outputs": nested_outputs,
        "three_deep": three_deep,
        "embedding": lambda: base(pooling="avg"),
        "embedding_max": lambda: embedding("max"),
        "maps": lambda: embedding(),
        "REFUSED flattened": lambda: keras.Model(
            (body := keras.applications.Xception(weights=None, include_top=False, input_shape=(75, 75, 3))).input,
            softmax()(layers.Flatten()(body.output)),
        ),
        "REFUSED two_hidden": lambda: flat(
            average(), layers.Dense(8, activation="relu"), layers.Dense(8, activation="relu"), softmax()
        ),
        "REFUSED tanh": lambda: flat(average(), layers.Dense(8, activation="tanh"), softmax()),
        "REFUSED answers": lambda: flat(average(), layers.Dense(3, activation="relu")),
        "REFUSED unit": lambda: flat(average(), layers.UnitNormalization()),
        "REFUSED norm": lambda: flat(average(), layers.LayerNormalization(), softmax()),
        "REFUSED resizing": lambda: nested((layers.Resizing(75, 75),), average(), softmax()),
        "REFUSED code": lambda: nested((layers.Lambda(lambda x: x / 255.0),), average(), softmax()),
        "REFUSED scaled": lambda: nested((layers.Rescaling(2.0, offset=-1),), average(), softmax()),
    }


def sampled(answers: np.ndarray) -> np.ndarray:
    """All answers of a classifier, and some of an embedding's features, which are as good as all."""
    return answers[:, ::32] if answers.shape[1] > 64 else answers


def _pooled(answers: np.ndarray) -> np.ndarray:
    """Answers, or the averages of feature maps (N, H, W, C), which is what becomes of them."""
    return answers.mean((1, 2)) if answers.ndim == 4 else answers


def main() -> None:
    import keras

    found = {}
    for name, make in models().items():
        keras.backend.clear_session()
        model = make()
        print(name, flush=True)  # noqa: T201 - it takes minutes
        config = json.loads(model.to_json())
        if name.startswith("REFUSED"):
            found[name] = {"config": config, "shapes": fill(model)}
            continue
        shapes = fill(model)
        answers = {}
        for px in SIZES_PX:
            for kind, values in (("8-bit", image(px)), ("scaled", image(px) / 127.5 - 1)):
                results = model(values, training=False)
                named = results if isinstance(results, dict) else {}
                rows = [*named.values()] if named else results if isinstance(results, list) else [results]
                answers[f"{px} {kind}"] = [sampled(_pooled(np.asarray(row))).tolist() for row in rows]
        found[name] = {"config": config, "shapes": shapes, "answers": answers}
    SAMPLE.write_bytes(gzip.compress(json.dumps(found).encode(), 9, mtime=0))


if __name__ == "__main__":
    main()
