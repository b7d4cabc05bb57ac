"""What a file states about its network is built: models as Keras builds them give Keras' own answers."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch

from tests.convert.keras_models import checkpoint, kept, seeded_weights, stated_models
from tests.convert.make_keras_models import SIZES_PX, image, sampled
from tests.support.lanes import slow_unless
from xception.bundle import Network, open_bundle
from xception.convert import conversion
from xception.convert.conversion import Conversion, convert_checkpoint
from xception.convert.diagnosis import diagnose
from xception.convert.selection import NO_CHOICE, WeightsChoice
from xception.convert.stated import StatedFacts
from xception.convert.statements import activation_of, with_stated
from xception.errors import InputError, UsageError
from xception.metrics import probabilities
from xception.models.network import build

Convert = Callable[..., Conversion]

TWO_HEADS = {"two_outputs": "fake", "nested_outputs": "fake"}
"""The wanted heads of the models that have several."""


@pytest.fixture
def convert(monkeypatch: pytest.MonkeyPatch) -> Convert:
    def converted(name: str, choice: WeightsChoice = NO_CHOICE, config: Any = None) -> Conversion:
        found = checkpoint(config or kept()[name]["config"], seeded_weights(name))
        monkeypatch.setattr(conversion, "read_checkpoint", lambda _: found)
        return convert_checkpoint("model.h5", choice)

    return converted


def answers(converted: Conversion, px: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits and probabilities for the 8-bit images of that size."""
    model = converted.model
    pixels = model.preprocess.normalize(image(px).astype(np.uint8).transpose(0, 3, 1, 2))
    with torch.inference_mode():
        network = build(model.network.architecture(), converted.tensors).eval()
        logits = network(torch.from_numpy(np.ascontiguousarray(pixels, np.float32))).numpy()
    return logits, logits if model.activation == "none" else probabilities(logits, model.activation)


def kept_answers(name: str, px: int, stated: StatedFacts) -> np.ndarray:
    """Keras' own, for the values that the model expects: 8-bit ones if it normalises them itself."""
    rows = kept()[name]["answers"][f"{px} {'8-bit' if stated.normalization else 'scaled'}"]
    return np.array(rows[1 if name in TWO_HEADS else 0])


EVERYDAY = {"flat", "embedding_max", "nested_255", "two_outputs"}
"""Models that differ in what their files state: a plain one, one without a classifier, and so on."""


@pytest.mark.parametrize("name", slow_unless(EVERYDAY.__contains__, stated_models()))
def test_a_model_gives_keras_own_answers(name: str, convert: Convert) -> None:
    converted = convert(name, WeightsChoice(head=TWO_HEADS.get(name)))
    stated = converted.match.group.stated
    for px in SIZES_PX:
        logits, likely = answers(converted, px)
        expected = kept_answers(name, px, stated)
        found = sampled(logits) if stated.activation == "none" else sampled(likely)
        np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("name", "wrong"),
    slow_unless(
        lambda row: row[0] in EVERYDAY,
        [
            ("flat_max", {"pooling": "avg"}),
            ("flat", {"pooling": "max"}),
            ("embedding", {"pooling": "max"}),
            ("embedding_max", {"pooling": "avg"}),
            ("maps", {"pooling": "max"}),
            ("maps", {"mean": (0.0,) * 3, "std": (1.0,) * 3}),
            ("three_deep", {"mean": (0.5,) * 3, "std": (0.5,) * 3}),
            ("nested_outputs", {"pooling": "avg"}),
            ("one_logit", {"activation": "none"}),
            ("sigmoids", {"activation": "softmax"}),
            ("nested_255", {"mean": (0.5,) * 3, "std": (0.5,) * 3}),
            ("statistics", {"mean": (0.5,) * 3, "std": (0.5,) * 3}),
        ],
    ),
)
def test_a_wrong_statement_gives_other_answers(name: str, wrong: dict[str, Any], convert: Convert) -> None:
    converted = convert(name, WeightsChoice(head=TWO_HEADS.get(name)))
    px, model = SIZES_PX[0], converted.model
    expected = kept_answers(name, px, converted.match.group.stated)
    fields = model.preprocess.__struct_fields__
    preprocess = msgspec.structs.replace(model.preprocess, **{k: v for k, v in wrong.items() if k in fields})
    network = msgspec.structs.replace(model.network, **{k: v for k, v in wrong.items() if k == "pooling"})
    logits, _ = answers(
        replace(converted, model=msgspec.structs.replace(model, preprocess=preprocess, network=network)), px
    )
    activation = wrong.get("activation", model.activation)
    found = sampled(logits) if activation == "none" else probabilities(logits, activation)
    assert np.abs(found - expected).max() > 1e-3 * np.abs(expected).max()


@pytest.mark.parametrize("name", stated_models(refused=True))
def test_what_is_stated_and_not_built_is_refused_and_told(name: str, convert: Convert) -> None:
    with pytest.raises(InputError, match="its model_config states") as caught:
        convert(name)
    told = diagnose(checkpoint(kept()[name]["config"], seeded_weights(name)))
    assert told.refused == str(caught.value)


def test_a_model_without_a_fault_is_not_told_to_have_one() -> None:
    told = diagnose(checkpoint(kept()["hidden"]["config"], seeded_weights("hidden")))
    assert (told.refused, told.variant, told.num_classes) == ("", "keras_xception", 3)


def test_a_new_head_takes_the_place_of_one_that_is_not_built(convert: Convert) -> None:
    made = convert("REFUSED two_hidden", WeightsChoice(new_head=4))
    assert (made.model.network.num_classes, made.model.network.hidden_features) == (4, None)
    assert convert("hidden", WeightsChoice(new_head=4)).model.network.hidden_features is None


def test_several_heads_are_asked_for_and_the_others_dropped(convert: Convert) -> None:
    with pytest.raises(InputError, match=r"--head kind \(3 classes\) or --head fake"):
        convert("two_outputs")
    kind = convert("two_outputs", WeightsChoice(head="kind"))
    assert (kind.model.activation, kind.model.network.num_classes) == ("softmax", 3)
    assert set(kind.match.dropped) == {"fake/kernel", "fake/bias"}


def test_a_hidden_layer_in_one_of_several_heads_is_that_heads_own(convert: Convert) -> None:
    fake, kind = (convert("nested_outputs", WeightsChoice(head=name)).model.network for name in ("fake", "kind"))
    assert (fake.hidden_features, kind.hidden_features) == (4, None)
    assert (fake.pooling, kind.pooling) == ("max", "max")


@pytest.mark.parametrize(
    ("name", "pooling", "is_said"),
    [("embedding", "avg", False), ("embedding_max", "max", False), ("maps", "avg", True)],
)
def test_a_model_without_dense_layers_gives_embeddings(
    name: str, pooling: str, is_said: bool, convert: Convert
) -> None:
    made = convert(name)
    assert (made.model.network.num_classes, made.model.network.pooling, made.labels.names) == (0, pooling, ())
    assert ("pooling" in made.model.lineage[0].settings) == is_said


def test_one_logit_is_that_of_the_positive_class(convert: Convert) -> None:
    made = convert("one_logit")
    assert (made.model.activation, made.labels.names) == ("sigmoid", ("positive",))


def test_an_activation_that_contradicts_the_file_is_refused(convert: Convert) -> None:
    with pytest.raises(UsageError, match="states the activation sigmoid; leave --activation softmax out"):
        convert("sigmoids", WeightsChoice(activation="softmax"))
    assert convert("without_bias", WeightsChoice(activation="sigmoid")).model.activation == "sigmoid"


@pytest.mark.parametrize(
    ("classes", "wanted", "expected"), [(3, None, "softmax"), (1, None, "sigmoid"), (1, "none", "none")]
)
def test_what_states_no_activation_has_the_usual_one(classes: int, wanted: Any, expected: str) -> None:
    assert activation_of(StatedFacts(), classes, wanted) == expected


def test_facts_that_a_variant_has_anyhow_are_not_repeated() -> None:
    network = Network(variant="mindcv_xception", num_classes=2, in_channels=3)
    assert with_stated(network, StatedFacts(output_stride=32, drop_rate=0.5, pooling="avg")) == network
    changed = with_stated(network, StatedFacts(drop_rate=0.2, pooling="max"))
    assert (changed.drop_rate, changed.pooling) == (0.2, "max")
    with pytest.raises(UsageError, match="cannot have output stride 16"):
        with_stated(network, StatedFacts(output_stride=16))


def test_a_bundle_of_a_stated_network_opens_as_it_was(convert: Convert, tmp_path: Path) -> None:
    written = convert("flat_max").write(tmp_path / "out")
    assert open_bundle(tmp_path / "out", verify=True) == written
    assert (written.model.network.pooling, written.model.activation) == ("max", "softmax")
