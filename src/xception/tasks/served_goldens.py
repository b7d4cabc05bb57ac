"""A bundle's goldens, answered by a server of the Open Inference Protocol: ours, or any other."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from xception.backends.base import Logits
from xception.backends.graph_session import graph_input
from xception.bundle import Bundle, Graph
from xception.errors import InputError, UnknownName
from xception.goldens import Golden
from xception.oip.client import OipClient
from xception.oip.documents import ModelMetadata, TensorFacts
from xception.oip.tensors import NUMPY_TYPES, STRINGS

OUTPUTS = ("logits", "embedding")
"""Names of the outputs of our own server that goldens hold."""

REFERENCE_PIXELS = {"pixels": "reference"}
"""Parameter by which our own server prepares images exactly as goldens were; other servers ignore it."""


@dataclass(frozen=True, kw_only=True)
class ServedAnswers:
    """A server's answers to goldens, and what it says of itself."""

    answers: tuple[Logits, ...]
    digest: str | None
    """Digest of the bundle that it serves, if it tells."""
    labels: tuple[str, ...] | None
    """Names of its classes, if it tells."""
    tensor: str
    """The input that was sent."""


def ask_goldens(
    client: OipClient, name: str, reference: Bundle, goldens: Sequence[Golden], tensor: str | None = None
) -> ServedAnswers:
    """Send the goldens to a server, each by itself.

    Args:
        client: the server.
        name: the model's name there.
        reference: the bundle whose goldens they are.
        goldens: images, pixels and answers.
        tensor: the input to send; by default encoded images, so that the server's preprocessing counts, and else the
            pixels.

    Raises:
        InputError: the server refuses a request, or the model takes or gives something else.
        UnknownName: the model has no such input.
    """
    metadata = client.model(name)
    facts = _input(metadata, tensor)
    output = _output(metadata, reference)
    answers = []
    for golden in goldens:
        values = _encoded(golden) if facts.datatype == STRINGS else _pixels(golden, facts, reference)
        found = client.infer(name, {facts.name: values}, (output,), parameters=dict(REFERENCE_PIXELS))
        if output not in found:
            raise InputError(f"the server gives no output {output!r} though it describes one; expected it")
        answers.append(np.asarray(found[output], np.float32).ravel())
    digest = metadata.parameters.get("model_digest")
    return ServedAnswers(
        answers=tuple(answers),
        digest=digest if isinstance(digest, str) else None,
        labels=_labels(client, name, output, facts, goldens[0]) if facts.datatype == STRINGS else None,
        tensor=facts.name,
    )


def _input(metadata: ModelMetadata, tensor: str | None) -> TensorFacts:
    known = {facts.name: facts for facts in metadata.inputs}
    if tensor is not None and tensor not in known:
        raise UnknownName("input", tensor, known)
    # Images first: what takes them does the whole way.
    by_kind = sorted(metadata.inputs, key=lambda facts: facts.datatype != STRINGS)
    needed = [facts for facts in by_kind if not facts.optional]
    if not by_kind or len(needed) > 1:
        raise InputError(f"the model takes the inputs {', '.join(known) or 'none'}; expected one image or tensor")
    return known[tensor] if tensor else (needed or by_kind)[0]


def _output(metadata: ModelMetadata, reference: Bundle) -> str:
    """The output that the goldens hold: by its name, or the only one that fits."""
    model = reference.model
    names = [facts.name for facts in metadata.outputs]
    own = (*OUTPUTS, *((model.graph.output_name,) if model.graph else ()))
    fitting = [facts.name for facts in metadata.outputs if facts.shape[-1:] == (model.network.num_outputs,)]
    found = [name for name in own if name in names] or (fitting if len(fitting) == 1 else [])
    if not found:
        raise InputError(
            f"the outputs {', '.join(names) or 'none'} do not tell which holds the {model.network.answers}; expected "
            f"one of {', '.join(own)}"
        )
    return found[0]


def _encoded(golden: Golden) -> NDArray[Any]:
    file = io.BytesIO()
    Image.fromarray(golden.image).save(file, "PNG")
    found = np.empty(1, object)
    found[0] = file.getvalue()
    return found


def _pixels(golden: Golden, facts: TensorFacts, reference: Bundle) -> NDArray[Any]:
    """A golden's pixels in the layout and the numbers that an input has."""
    channels = golden.pixels.shape[0]
    if len(facts.shape) != 4 or facts.datatype not in NUMPY_TYPES:
        raise InputError(
            f"the input {facts.name!r} is {facts.datatype} of the shape {list(facts.shape)}; expected images, "
            "BYTES, or pixels with four axes"
        )
    is_nhwc = facts.shape[3] == channels and facts.shape[1] != channels
    graph = Graph(
        input_name=facts.name,
        input_shape=(None, channels, None, None),
        output_name="answers",
        input_layout="nhwc" if is_nhwc else "nchw",
        input_values="image" if facts.datatype == "UINT8" else "pixels",
    )
    values = graph_input(golden.pixels[None], graph, reference.model.preprocess)
    return values.astype(NUMPY_TYPES[facts.datatype], copy=False)


def _labels(client: OipClient, name: str, output: str, facts: TensorFacts, golden: Golden) -> tuple[str, ...] | None:
    """Names of all classes, where the server has Triton's extension of classifications; None from all others."""
    parameters: Mapping[str, int] = {"classification": 1_000_000}
    try:
        found = client.infer(name, {facts.name: _encoded(golden)}, (output,), output_parameters=parameters)
    except InputError:
        return None
    rows = found[output].ravel()
    if rows.dtype != object:
        return None
    by_index = {}
    for row in rows:
        _, _, rest = row.decode("utf-8", "replace").partition(":")
        index, sign, label = rest.partition(":")
        if not (sign and index.isdecimal()):
            return None
        by_index[int(index)] = label
    return tuple(by_index[index] for index in sorted(by_index))
