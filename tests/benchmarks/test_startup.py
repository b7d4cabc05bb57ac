import pytest

from benchmarks.startup import first_line


def test_the_first_line_of_a_command_is_timed() -> None:
    seconds, memory = first_line(["--version"])
    assert seconds > 0
    assert memory >= 0


def test_a_command_that_fails_has_no_time() -> None:
    with pytest.raises(RuntimeError, match="predict ended with status 2"):
        first_line(["predict"])
