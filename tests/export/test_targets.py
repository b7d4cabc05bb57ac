from dataclasses import fields
from importlib import import_module
from pathlib import Path

import pytest

from tests.export.requests import export_to
from xception.bundle import Bundle
from xception.errors import UsageError
from xception.export.program import GraphOptions
from xception.export.request import ExportRequest
from xception.export.targets import BY_WAY_OF, EXPORT_TARGETS, export_target, targets_sentence

PARTS = {field.name for field in (*fields(GraphOptions), *fields(ExportRequest))}


@pytest.mark.parametrize("to", EXPORT_TARGETS)
def test_every_target_has_a_writer_and_takes_parts_of_the_request(to: str) -> None:
    target = EXPORT_TARGETS[to]
    assert callable(import_module(target.module).write)
    assert target.takes <= PARTS
    assert "{" not in target.next.format(xception="xception", out="out", parent="parent")


def test_the_sentence_names_every_target() -> None:
    assert all(to in targets_sentence() for to in EXPORT_TARGETS)


@pytest.mark.parametrize(
    ("to", "parts", "refused"),
    [
        ("timm", {"options": GraphOptions(probabilities=True)}, "timm has no --probabilities; it takes no options"),
        (
            "ascend",
            {"options": GraphOptions(top_k=1)},
            "ascend has no --top-k; it takes --calibration, --data, --inputs",
        ),
        ("triton", {"upstream_python": "python"}, "triton has no --upstream-python; it takes --class-maps"),
    ],
)
def test_parts_that_a_target_has_no_use_for_are_refused(
    to: str, parts: dict[str, object], refused: str, weights_bundle: Bundle, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=refused):
        export_to(weights_bundle, to, tmp_path / "out", **parts)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("to", BY_WAY_OF)
def test_a_format_of_others_is_answered_with_the_way_there(to: str) -> None:
    with pytest.raises(UsageError, match=f"{to} is not written here: write .*; targets are onnx, "):
        export_target(to)
    assert to not in EXPORT_TARGETS
