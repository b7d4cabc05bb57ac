"""The description in an OpenVINO file: `rt_info`, whose `model_info` is what OpenVINO's own tools read."""

import re
from typing import TYPE_CHECKING
from xml.sax.saxutils import quoteattr, unescape

from xception.identity.words import IDENTITY_KEY, properties

if TYPE_CHECKING:
    from xception.identity.identity import Identity

END = b"</rt_info>"
"""End of a file's last part, which is `rt_info` of the whole network."""

ESCAPES = {"&quot;": '"', "&apos;": "'", "&#10;": "\n", "&#9;": "\t", "&#13;": "\r"}
DOCUMENT = re.compile(rb"<" + IDENTITY_KEY.encode() + rb"_document value=(\"[^\"]*\"|'[^']*')")


def write(data: bytes, identity: "Identity", document: str) -> bytes:
    """The file with the description."""
    preprocess = identity.model.preprocess
    facts = {
        "model_type": "Classification",
        # Spaces end a name in the tools that read this list.
        "labels": " ".join(name.replace(" ", "_") for name in identity.names),
        "mean_values": " ".join(f"{value * preprocess.divisor:g}" for value in preprocess.mean),
        "scale_values": " ".join(f"{value * preprocess.divisor:g}" for value in preprocess.std),
        "reverse_input_channels": "False" if preprocess.color == "bgr" else "True",
        **properties(identity.model, identity.names),
    }
    rows = "".join(f"\t\t\t<{name} value={quoteattr(value)} />\n" for name, value in facts.items())
    rows += f"\t\t\t<{IDENTITY_KEY}_document value={quoteattr(document)} />\n"
    before, end, after = data.rpartition(END)
    return b"".join((before, f"\t<model_info>\n{rows}\t\t</model_info>\n\t".encode(), end, after))


def read_openvino_text(data: bytes) -> str | None:
    """The description, found as text, since the file may be too large to be read as XML."""
    found = DOCUMENT.search(data)
    if found is None:
        return None
    try:
        return unescape(found[1][1:-1].decode(), ESCAPES)
    except UnicodeDecodeError:
        return None
