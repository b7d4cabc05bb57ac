"""Everyday and slow cases: of many cases of one kind, some run every day, and all of them in `make test-slow`."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest


def slow_unless(is_everyday: Callable[[Any], bool], cases: Iterable[Any]) -> list[Any]:
    """The cases of a parametrized test, with those marked slow that do not stand for their kind."""
    return [case if is_everyday(case) else _slow(case) for case in cases]


def _slow(case: Any) -> Any:
    values = case if isinstance(case, tuple) else (case,)
    return pytest.param(*values, marks=pytest.mark.slow)
