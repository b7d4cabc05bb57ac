"""The files for operators start the command as it is."""

import json
import re
import shlex
from pathlib import Path

import pytest

from xception.cli.app import build_app
from xception.cli.serve import Listening
from xception.serve.limits import DEFAULT_LIMITS

ROOT = Path(__file__).parents[2]
UNIT = (ROOT / "deploy/xception-serve.service").read_text("utf-8")
CONTAINER = (ROOT / "Dockerfile").read_text("utf-8")
SERVICE = CONTAINER.partition("\nFROM installed AS serve\n")[2].partition("\nFROM ")[0]
"""The part of the container's file that makes the server's image."""


def commands() -> list[list[str]]:
    (unit,) = re.findall(r"^ExecStart=/usr/local/bin/xception (.*)$", UNIT, re.MULTILINE)
    parts = [json.loads(found) for found in re.findall(r"^(?:ENTRYPOINT|CMD) (\[.*\])$", SERVICE, re.MULTILINE)]
    return [shlex.split(unit), [*parts[0][1:], *parts[1]]]


@pytest.mark.parametrize("command", commands())
def test_the_command_is_understood_and_lets_no_stranger_in(command: list[str]) -> None:
    _, bound, _ = build_app(["serve"]).parse_args(command, exit_on_error=False, print_error=False)
    listening = bound.arguments["listening"]
    assert isinstance(listening, Listening)
    listening.check()
    assert (listening.address, listening.open) == ("0.0.0.0", False)


def test_the_system_waits_for_the_answers_that_are_due() -> None:
    (wait_s,) = re.findall(r"^TimeoutStopSec=(\d+)$", UNIT, re.MULTILINE)
    assert int(wait_s) > DEFAULT_LIMITS.drain_s


def test_neither_runs_as_root_or_may_write() -> None:
    assert "\nUser=xception\n" in UNIT
    assert "ProtectSystem=strict" in UNIT
    assert re.search(r"^USER user$", CONTAINER, re.MULTILINE)
    assert "--read-only" in CONTAINER
