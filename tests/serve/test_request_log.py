"""The line that the log has for each request."""

import json
import logging

import pytest

from xception.serve.measures import Measures
from xception.serve.request_log import account


def test_a_request_is_logged_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    measures = Measures({})
    with caplog.at_level(logging.INFO):
        account(measures, request_id="a", key="b", route="infer", status=503, began_s=0.0)
    (line,) = [json.loads(record.getMessage()) for record in caplog.records]
    assert line.pop("ms") >= 0
    assert line == {"request": "a", "key": "b", "route": "infer", "status": 503}
    assert b'xception_requests_total{route="infer",status="503"} 1.0' in measures.text()
