"""Everyday runs of the property tests are all alike; `make explore` draws anew."""

import os
import subprocess
import sys

from hypothesis import given, settings
from hypothesis import strategies as st


def drawn(profile: str) -> list[int]:
    """The examples of one run of a property test."""
    examples: list[int] = []

    @settings(settings.get_profile(profile), max_examples=50, database=None)
    @given(st.integers())
    def draw(number: int) -> None:
        examples.append(number)

    draw()
    return examples


def test_everyday_runs_draw_the_same_examples() -> None:
    assert drawn("everyday") == drawn("everyday")


def test_exploring_draws_others() -> None:
    assert drawn("explore") != drawn("explore")


def test_exploring_draws_others_on_a_build_server_too() -> None:
    """Hypothesis draws the same examples where it believes to be in CI, unless a profile says otherwise."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        f"{__file__}::test_exploring_draws_others",
    ]
    finished = subprocess.run(command, env=os.environ | {"CI": "true"}, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stdout


def test_a_slow_example_fails_in_no_profile() -> None:
    assert all(settings.get_profile(profile).deadline is None for profile in ("everyday", "explore"))
