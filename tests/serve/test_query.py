"""The query of a request to `/v1/classify`."""

from pathlib import Path

import pytest

from tests.serve.running import Running
from xception.serve.query import QUERY_PARAMETERS, ClassifyOptions, classify_options


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("top=0", "classes from 1"),
        ("top=many", "classes from 1"),
        ("top=1000000000005", "classes from 1 to 1000000"),
        ("top=" + "9" * 4000, "classes from 1"),
        ("topk=3", "expected only model, top,"),
        ("maps=2", "0 or 1"),
        ("seen=x", "0 or 1"),
        ("threshold=2", "between 0 and 1"),
        ("threshold=half", "such as 0.5"),
        ("timeout_ms=0", "milliseconds from 1"),
    ],
)
def test_an_option_that_is_none_is_refused(query: str, expected: str, server: Running, digit_files: list[Path]) -> None:
    reply = server.post(f"/v1/classify?model=digits&{query}", digit_files[0].read_bytes())
    assert reply.status == 400
    assert expected in reply.error


def test_every_option_is_read(server: Running) -> None:
    query = {"model": "digits", "top": "3", "timeout_ms": "1500", "maps": "1", "seen": "true", "threshold": "0.25"}
    assert set(query) == set(QUERY_PARAMETERS)
    options = classify_options(query, server.service.models["digits"])
    assert options == ClassifyOptions(top=3, threshold=0.25, maps=True, seen=True, timeout_s=1.5)


def test_a_query_may_be_empty(server: Running) -> None:
    assert classify_options({}, server.service.models["digits"]) == ClassifyOptions()
