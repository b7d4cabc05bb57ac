"""The graph of a bundle in another form: int8, or adopted from somebody else, for which no weights are at hand."""

import msgspec

from xception.bundle import Graph, Model
from xception.forms import FORMS, Form


def graph_in_form(model: Model, to: Form) -> Graph | None:
    """Names and shapes of a bundle's graph after it was written in a form; 8-bit images keep their order of axes."""
    if model.graph is None or FORMS[to].layout == "nchw":
        return model.graph
    return msgspec.structs.replace(model.graph, input_layout=FORMS[to].layout)
