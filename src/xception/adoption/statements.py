"""Statements on a graph file: those of the user, and those of files next to it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from xception.bundle import MANIFEST, Model
from xception.convert.readers.binary import decode_json, load_file
from xception.convert.timm_config import timm_labels, timm_preprocess
from xception.errors import InputError
from xception.forms import Layout
from xception.inputs import DOCUMENT_LIMIT, parse_json, read_bytes
from xception.labels import Labels
from xception.metrics import Activation
from xception.preprocess import Preprocess

CONFIG = "config.json"

OutputValues = Literal["logits", "probabilities"]


@dataclass(frozen=True, kw_only=True)
class GraphStatements:
    """Facts that you state about a graph, because the file does not show them; None for those that you do not state.

    Attributes:
        preprocess: the rules that turn an image into the graph's input.
        labels: class names in the order of the answers.
        activation: the function from logits to probabilities.
        output_values: the kind of numbers that the graph's output holds.
        layout: the order of the input's axes.
        input_name: the input for images, if the graph has several inputs.
        output_name: the output with the answers, if the graph has several outputs.
    """

    preprocess: Preprocess | None = None
    labels: Labels | None = None
    activation: Activation | None = None
    output_values: OutputValues | None = None
    layout: Layout | None = None
    input_name: str | None = None
    output_name: str | None = None


NO_STATEMENTS = GraphStatements()


def preprocess_of_config(path: Path) -> Preprocess:
    """The preprocessing that timm's `config.json` or a bundle's `model.json` states.

    Raises:
        InputError: the file cannot be read, or states none.
    """
    if path.name == MANIFEST:
        try:
            return parse_json(read_bytes(path, DOCUMENT_LIMIT), Model).preprocess
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InputError(f"{path} cannot be read as a bundle's description: {error}") from error
    found = timm_preprocess(_config(path))
    if found is None:
        raise InputError(f"{path} states no preprocessing; expected timm's input_size in it")
    return found


def stated_nearby(path: Path, num_classes: int | None) -> tuple[Preprocess | None, Labels | None]:
    """Preprocessing and class names that timm's `config.json` in the same folder states."""
    config = path.parent / CONFIG
    if not config.is_file():
        return None, None
    stated = _config(config)
    return timm_preprocess(stated), timm_labels(stated, num_classes) if num_classes else None


def _config(path: Path) -> dict[str, Any]:
    try:
        return decode_json(load_file(path).data, str(path))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); expected a description as JSON") from error
