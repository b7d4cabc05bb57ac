"""The description in an OpenVINO file: `rt_info`, whose `model_info` is what OpenVINO's own tools read."""

import re
from typing import TYPE_CHECKING
from xml.sax.saxutils import quoteattr, unescape

from xception.identity.words import IDENTITY_KEY, normalizes_itself, properties
from xception.model_document import Model

if TYPE_CHECKING:
    from xception.identity.identity import Identity

END = b"</rt_info>"
"""End of a file's last part, which is `rt_info` of the whole network."""

ESCAPES = {"&quot;": '"', "&apos;": "'", "&#10;": "\n", "&#9;": "\t", "&#13;": "\r"}
NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML has no way to write; JSON has, as `\\uXXXX`."""

DOCUMENT = re.compile(rb"<" + IDENTITY_KEY.encode() + rb"_document value=(\"[^\"]*\"|'[^']*')")


def write(data: bytes, identity: "Identity", document: str) -> bytes:
    """The file with the description."""
    facts = {
        **_answers(identity.model),
        # Spaces end a name in the tools that read this list.
        "labels": " ".join(re.sub(r"\s", "_", name) for name in identity.names),
        **_images(identity.model),
        **properties(identity.model, identity.names),
    }
    shown = {name: NOT_IN_XML.sub("\ufffd", value) for name, value in facts.items()}
    shown[f"{IDENTITY_KEY}_document"] = NOT_IN_XML.sub(lambda found: f"\\u{ord(found[0]):04x}", document)
    rows = "".join(f"\t\t\t<{name} value={quoteattr(value)} />\n" for name, value in shown.items())
    before, end, after = data.rpartition(END)
    return b"".join((before, f"\t<model_info>\n{rows}\t\t</model_info>\n\t".encode(), end, after))


def _answers(model: Model) -> dict[str, str]:
    """The kind of model, where those tools have one: they make probabilities of logits themselves, and know a softmax
    that is in the graph, but no sigmoids."""
    is_raw = model.graph is None or model.graph.output_values == "logits"
    if not model.network.num_classes or model.activation == "none" or not (is_raw or model.activation == "softmax"):
        return {}
    return {"model_type": "Classification", "multilabel": str(model.activation == "sigmoid")}


def _images(model: Model) -> dict[str, str]:
    """The arithmetic in front of the graph, for images with the channels in OpenCV's order."""
    preprocess, scale = model.preprocess, model.preprocess.divisor
    is_done = normalizes_itself(model)
    rows = {
        "mean_values": [0.0 if is_done else value * scale for value in preprocess.mean],
        "scale_values": [1.0 if is_done else value * scale for value in preprocess.std],
    }
    return {
        **{name: " ".join(f"{value:g}" for value in values) for name, values in rows.items()},
        "reverse_input_channels": str(preprocess.color == "rgb"),
    }


def read_openvino_text(data: bytes) -> str | None:
    """The description, found as text, since the file may be too large to be read as XML."""
    found = DOCUMENT.search(data)
    if found is None:
        return None
    try:
        return unescape(found[1][1:-1].decode(), ESCAPES)
    except UnicodeDecodeError:
        return None
