"""Whose warnings fail a test: see `filterwarnings` in pyproject.toml."""

import warnings

import pytest

OURS = ["xception", "xception.train.trainer", "tests.rules.test_warnings", "benchmarks.run", "numpy._core.fromnumeric"]
THEIRS = ["torch._dynamo.guards", "xceptional", "openvino", "numpydoc"]


def warn(module: str, category: type[Warning] = RuntimeWarning) -> None:
    warnings.warn_explicit("a notice", category, "file.py", 1, module=module)


@pytest.mark.parametrize("module", OURS)
def test_a_warning_of_our_code_or_about_our_numbers_is_an_error(module: str) -> None:
    with pytest.raises(RuntimeWarning, match="a notice"):
        warn(module)


def test_a_deprecated_call_in_our_code_is_an_error() -> None:
    with pytest.raises(DeprecationWarning):
        warnings.warn("use another", DeprecationWarning, stacklevel=1)


def test_what_was_left_open_is_an_error_wherever_it_is_noticed() -> None:
    with pytest.raises(ResourceWarning):
        warn("sys", ResourceWarning)


@pytest.mark.parametrize("module", THEIRS)
def test_a_notice_of_another_package_is_shown_and_fails_nothing(module: str) -> None:
    with warnings.catch_warnings(record=True) as shown:
        warn(module)
    assert [str(one.message) for one in shown] == ["a notice"]
