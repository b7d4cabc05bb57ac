from typing import Any

import msgspec
import yaml

from xception.bundle import Bundle, Score, open_bundle
from xception.identity.card import CARD, card_text
from xception.intervals import wilson
from xception.labels import Labels


def front_matter(text: str) -> Any:
    assert text.startswith("---\n")
    return yaml.safe_load(text.split("---\n")[1])


def test_every_bundle_has_a_card_among_its_files(onnx_bundle: Bundle) -> None:
    opened = open_bundle(onnx_bundle.path)
    assert CARD in opened.model.files
    text = opened.content(CARD).decode()
    assert text == card_text(opened.model, opened.labels)
    facts = front_matter(text)
    assert (facts["pipeline_tag"], facts["library_name"]) == ("image-classification", "xception")
    assert facts["tags"] == ["image-classification", "xception", "onnx", "mini_xception"]
    assert "model-index" not in facts
    assert "Nothing was measured" in text
    assert "2. cat" in text


def test_what_was_measured_is_listed_as_hubs_read_it(onnx_bundle: Bundle) -> None:
    score = Score(total=100, seen=99, failed=1, top1=wilson(90, 99), top5=None, loss=0.1)
    model = msgspec.structs.replace(
        onnx_bundle.model, name='a "b": c', metrics={"photos: test": score}, precision="int8", passed_gate=False
    )
    text = card_text(model, onnx_bundle.labels)
    (entry,) = front_matter(text)["model-index"]
    assert entry["name"] == 'a "b": c'
    assert entry["results"][0]["dataset"]["name"] == "photos: test"
    assert entry["results"][0]["metrics"] == [{"type": "accuracy", "value": 0.9091}]
    assert "- accuracy gate of the quantization: FAILED" in text
    assert "100 images = 99 seen + 1 failed" in text
    assert "int8" in front_matter(text)["tags"]


def test_names_of_classes_are_no_markdown_and_not_all_of_many(onnx_bundle: Bundle) -> None:
    text = card_text(onnx_bundle.model, Labels(("a_b*c", *map(str, range(200)))))
    assert "0. a\\_b\\*c" in text
    assert "and 101 more." in text
