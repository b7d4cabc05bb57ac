import pytest

from benchmarks.startup import first_line, markdown


def test_the_first_line_of_a_command_is_timed() -> None:
    seconds, memory = first_line(["--version"])
    assert seconds > 0
    assert memory >= 0


def test_a_command_that_fails_has_no_time() -> None:
    with pytest.raises(RuntimeError, match="predict ended with status 2"):
        first_line(["predict"])


def test_the_table_has_the_median_and_the_spread_of_each_process() -> None:
    rows = {"openvino": {"seconds": [1.0, 3.0, 1.25], "mb": [300.0, 100.0, 200.0]}}
    facts = {"date": "2026-01-01", "environment": {"cores": 2}, "variant": "v", "rounds": 3}
    assert "| openvino | 1.25 | 1.00 to 3.00 | 200 |" in markdown({**facts, "rows": rows})
