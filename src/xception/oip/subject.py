"""The server and the model under test, and requests that fit them."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NoReturn

import numpy as np
from PIL import Image

from xception.errors import InputError
from xception.oip.client import OipClient, Reply
from xception.oip.documents import InferResponse, ModelMetadata, OipError, TensorFacts, document_bytes
from xception.oip.tensors import DATATYPES, HEADER_LENGTH, NUMPY_TYPES, STRINGS, Array, Output, message, stated

FREE_PX = 32
"""Size of a free side of an input."""


class RuleBroken(Exception):
    """A rule is broken; the message says how."""


class NotAsked(Exception):
    """A rule is about something that the server does not offer; the message says what."""


@dataclass(frozen=True)
class Subject:
    """The server and the model that are asked."""

    client: OipClient
    name: str
    input_name: str | None = None
    """The input to send, of a model with several that may take each other's place."""

    @cached_property
    def metadata(self) -> ModelMetadata:
        """The model's metadata."""
        try:
            return self.client.model(self.name)
        except InputError as error:
            raise NotAsked(f"the model's metadata cannot be read: {error}") from error

    @cached_property
    def inputs(self) -> tuple[TensorFacts, ...]:
        """The inputs of a request: all that are needed, or one of those that are optional."""
        known = self.metadata.inputs
        if self.input_name:
            return tuple(one for one in known if one.name == self.input_name)
        return tuple(one for one in known if not one.optional) or known[:1]

    def values(self, images: int = 1, first: int = 0) -> dict[str, Array]:
        """Values for every input; each image has its own, and the same whenever it is asked for."""
        return {facts.name: _values(facts, images, first) for facts in self.inputs}

    @property
    def path(self) -> str:
        """The path of inference."""
        return f"/v2/models/{self.name}/infer"

    @property
    def takes_batches(self) -> bool:
        """True if the first axis of all inputs is free."""
        return all(facts.shape[:1] == (-1,) for facts in self.inputs)

    def document(self, values: Mapping[str, Array] | None = None, **more: Any) -> dict[str, Any]:
        """A request in JSON, to be changed by a check.

        Raises:
            NotAsked: its values have no form in JSON.
        """
        if any(one.datatype == "FP16" for one in self.inputs):
            raise NotAsked("FP16 has no form in JSON")
        if any(one.datatype == STRINGS for one in self.inputs):
            raise NotAsked("an image has no form in JSON that the protocol names")
        return {"inputs": [_in_json(name, array) for name, array in (values or self.values()).items()], **more}

    def post(self, document: Any, path: str | None = None) -> Reply:
        """Send a request in JSON, or any bytes."""
        body = document if isinstance(document, bytes) else document_bytes(document)
        return self.client.ask("POST", path or self.path, body, {"Content-Type": "application/json"})

    def post_binary(self, values: Mapping[str, Array], path: str | None = None, **more: Any) -> Reply:
        """Send a request whose values are raw bytes."""
        tensors, raw = stated([Output(name, array, binary=True) for name, array in values.items()])
        body, length = message({"inputs": tensors, **more}, raw)
        return self.client.ask("POST", path or self.path, body, {HEADER_LENGTH: str(length)})

    def post_any(self, values: Mapping[str, Array] | None = None, path: str | None = None, **more: Any) -> Reply:
        """Send a request in the form that its values have."""
        given = values or self.values()
        if all(one.datatype in NUMPY_TYPES and one.datatype != "FP16" for one in self.inputs):
            return self.post(self.document(given, **more), path)
        return self.post_binary(given, path, **more)

    @cached_property
    def plain(self) -> tuple[InferResponse, dict[str, Array]]:
        """The answer to a plain request."""
        return self.answer(self.post_any())

    def answer(self, reply: Reply) -> tuple[InferResponse, dict[str, Array]]:
        """An answer's document and values.

        Raises:
            RuleBroken: it is none.
        """
        if reply.status != 200:
            break_rule(f"the status is {reply.status}, with {reply.error or reply.body[:100]!r}; expected 200")
        try:
            return self.client.answer(reply)
        except OipError as error:
            raise RuleBroken(str(error)) from error


def break_rule(words: str) -> NoReturn:
    """Say that a rule is broken.

    Raises:
        RuleBroken: always.
    """
    raise RuleBroken(words)


def _in_json(name: str, array: Array) -> dict[str, Any]:
    values = array.ravel().tolist()
    return {"name": name, "datatype": DATATYPES[array.dtype], "shape": list(array.shape), "data": values}


def _values(facts: TensorFacts, images: int, first: int) -> Array:
    sides = [FREE_PX if side < 0 else side for side in facts.shape]
    if facts.shape[:1] == (-1,):
        sides[0] = images
    if facts.datatype == STRINGS:
        found = np.empty(sides, object)
        found.ravel()[:] = [_png(first + number) for number in range(found.size)]
        return found
    kind = np.dtype(NUMPY_TYPES[facts.datatype])
    rows = [np.random.Generator(np.random.PCG64(first + row)) for row in range(sides[0] if sides else 0)]
    scale = 1 if kind.kind == "f" else 2 if kind.kind == "b" else 100
    return np.stack([(rng.random(sides[1:]) * scale).astype(kind) for rng in rows])


def _png(seed: int) -> bytes:
    coarse = np.random.Generator(np.random.PCG64(seed)).integers(0, 256, (4, 4, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(coarse).resize((48, 40), Image.Resampling.NEAREST).save(file, "PNG")
    return file.getvalue()
