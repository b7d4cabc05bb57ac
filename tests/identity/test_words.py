import msgspec

from xception.bundle import Bundle, Step
from xception.identity.card import card_text
from xception.identity.words import preprocess_words, properties, summary
from xception.labels import NO_LABELS
from xception.preprocess import CenterCrop, CropSquash, Preprocess, ShorterSide


def test_the_summary_names_parent_and_gate(onnx_bundle: Bundle) -> None:
    model = onnx_bundle.model
    assert summary(model) == "small: an image classifier, mini_xception, 7 classes, float32"
    step = Step(verb="quantize", parent="0123456789abcdef99", tools={})
    failed = msgspec.structs.replace(model, passed_gate=False, lineage=(step,))
    assert summary(failed).endswith("made from the bundle 0123456789abcdef; its accuracy FAILED")
    facts = properties(failed, ("a", "b"))
    assert (facts["names"], facts["parent_digest"], facts["passed_gate"]) == ("a\nb", "0123456789abcdef99", "false")
    assert properties(model, ())["passed_gate"] == "not judged"


def test_preprocessing_is_said_in_the_order_in_which_it_happens() -> None:
    crop = Preprocess(resize=ShorterSide(px=333), crop=CenterCrop(width_px=299, height_px=299))
    assert preprocess_words(crop).startswith("rgb, shorter side to 333 px (longer: ")
    assert f"centre 299 x 299 px (margin: {crop.crop.offset}), (x / 255 - " in preprocess_words(crop)
    assert "largest centred part, squash to 10 x 12 px" in preprocess_words(
        Preprocess(resize=CropSquash(width_px=10, height_px=12))
    )


def test_a_model_without_classes_is_no_classifier(weights_bundle: Bundle) -> None:
    network = msgspec.structs.replace(weights_bundle.model.network, num_classes=0)
    model = msgspec.structs.replace(weights_bundle.model, network=network, activation="none")
    assert summary(model).startswith(f"small: an image encoder, mini_xception, embeddings of {network.num_outputs} ")
    assert properties(model, ())["task"] == "image-feature-extraction"
    assert "pipeline_tag: image-feature-extraction" in card_text(model, NO_LABELS)
