"""The names of classes that training scripts keep next to the weights."""

from collections.abc import Iterator, Mapping
from typing import Any

from xception.convert.readers.numpy_pickle import NumpyArray
from xception.convert.readers.pickles import StatedArguments
from xception.labels import MAX_CLASSES, Labels, named_classes

CLASS_KEYS = (
    *("class_names", "class_to_idx", "idx_to_class", "classes", "CLASSES", "class_labels", "label_names", "labels"),
    *("id2label", "label2id", "idx_to_label", "index_to_class", "label_map", "class_map", "categories", "names"),
)
"""Names under which scripts keep the names of the classes."""

SECTIONS = (
    *(
        "meta",
        "dataset_meta",
        "metadata",
        "hyper_parameters",
        "datamodule_hyper_parameters",
        "hparams",
        "config",
        "cfg",
    ),
    "args",
)
"""Dictionaries in which they keep these names, next to other settings."""

MAX_LEVELS = 2
"""Dictionaries within each other that are looked into."""

STATED_NAMES = "class_names"
"""Key in a checkpoint's metadata of what `stated_names` returns."""


def stated_names(entries: Mapping[Any, object]) -> list[dict[str, object]]:
    """All that may be the names of the classes, each with the keys that lead to it.

    Returns:
        Rows such as {"place": "class_to_idx", "names": ["ant", "bee"], "ids": []}.
    """
    found: list[dict[str, object]] = []
    for place, value in _places(entries):
        plain = value.texts() if isinstance(value, NumpyArray) else value
        if not isinstance(plain, list | tuple | Mapping) or len(plain) > MAX_CLASSES:
            continue
        labels = named_classes(plain)
        if labels:
            found.append({"place": place, "names": list(labels.names), "ids": list(labels.ids)})
    return found


def names_for(metadata: Mapping[str, object], num_classes: int) -> tuple[Labels, str] | None:
    """The names of so many classes among what a file states, and their place in it; None where there are none, or
    several that differ.

    Args:
        metadata: that of a checkpoint.
        num_classes: outputs of its classifier.
    """
    rows: Any = metadata.get(STATED_NAMES)
    rows = rows if isinstance(rows, list) else []  # the header of a safetensors file may have a text of that name
    fitting = {Labels(tuple(row["names"]), tuple(row["ids"])): row["place"] for row in reversed(rows)}
    fitting = {labels: place for labels, place in fitting.items() if len(labels) == num_classes}
    return next(iter(fitting.items())) if len(fitting) == 1 else None


def _places(entries: Mapping[Any, object], levels: int = MAX_LEVELS) -> Iterator[tuple[str, object]]:
    yield from ((key, entries[key]) for key in CLASS_KEYS if key in entries)
    for section in SECTIONS if levels else ():
        inner = entries.get(section)
        values = inner.values if isinstance(inner, StatedArguments) else inner
        if isinstance(values, Mapping):
            yield from ((f"{section}/{place}", value) for place, value in _places(values, levels - 1))
