"""The command of the container for KServe, with the bundle at the place where KServe mounts it, read-only."""

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import ENVIRONMENT, PYTHON, UNSHARE, Served, free_port, is_open, log_read, package

MOUNTED = """
mount -t tmpfs none /mnt && mkdir /mnt/models && mount --bind "$1" /mnt/models && mount -o remount,bind,ro /mnt/models
shift
exec "$@"
"""


@pytest.fixture(scope="module")
def out(served: Served, tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("kserve") / "digits"
    arguments = ["--to", "kserve", "--out", str(found), "--storage-uri", "s3://models/digits"]
    package("-m", "xception", "export", str(served.bundle), *arguments)
    return found


def command_of(out: Path) -> list[str]:
    (line,) = re.findall(r"^CMD (\[.*\])$", (out / "Dockerfile").read_text(), re.MULTILINE)
    return list(json.loads(line))


def started(mounted: Path, command: list[str]) -> "subprocess.Popen[str]":
    process = [UNSHARE, "-rm", "sh", "-c", MOUNTED, "sh", str(mounted), PYTHON, "-m", "xception", "serve", *command]
    return subprocess.Popen(process, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)


@contextmanager
def serving(mounted: Path, command: list[str]) -> Iterator[str]:
    port = free_port()
    process = started(
        mounted, [*command[: command.index("--port") + 1], str(port), *command[command.index("--port") + 2 :]]
    )
    try:
        assert process.stderr
        assert any(line.startswith("ready:") for line in process.stderr)
        while not is_open(port):
            assert process.poll() is None
        log_read(process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        assert process.wait() == 0


def kept_rules(url: str, model: str) -> set[str]:
    done = package("-m", "xception", "oip-check", url, "--model", model, "--json")
    return {rule["verdict"] for rule in json.loads(done.stdout)["rules"]}


def test_the_conformance_suite_finds_all_rules_kept(out: Path) -> None:
    with serving(out / "bundle", command_of(out)) as url:
        assert kept_rules(url, "digits") <= {"kept", "not asked"}


def test_a_folder_of_bundles_may_be_mounted_there(served: Served, out: Path) -> None:
    command = ["/mnt/models", *command_of(out)[1:]]
    command = command[: command.index("--digest")]
    with serving(served.bundle.parent, command) as url:
        assert kept_rules(url, "spotter") <= {"kept", "not asked"}
        assert kept_rules(url, "digits") <= {"kept", "not asked"}


def test_another_bundle_at_that_place_is_not_served(served: Served, out: Path) -> None:
    process = started(served.bundle.parent / "spotter", command_of(out))
    assert "another bundle lies there" in process.communicate()[1]
    assert process.returncode == 3
