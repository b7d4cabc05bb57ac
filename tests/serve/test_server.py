"""The command: its processes, the signals that they get, and what it refuses before anything is loaded."""

import json
import logging
import os
import pickle
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from queue import Queue
from types import SimpleNamespace

import grpc
import pytest
from granian import Granian

from tests.serve.grpc_client import Client, photos
from tests.serve.running import Running, free_port, is_open
from tests.serve.test_keys import OTHER, write_keys
from tests.support.certificates import certificates
from tests.support.hostile_photos import worded_tiff
from tests.support.pages import PAGES
from tests.support.samples import HANG_S
from xception.bundle import Bundle
from xception.cli.app import build_app, run
from xception.cli.serve import bundles, ended, unfolded
from xception.errors import InputError
from xception.serve import server
from xception.serve.addresses import allowed_hosts, is_loopback
from xception.serve.keys import new_key
from xception.serve.limits import Limits
from xception.serve.openapi import FAILURE_WORDS


@dataclass
class Command:
    """`xception serve` in a process of its own."""

    process: "subprocess.Popen[str]"
    port: int
    lines: "Queue[str]" = field(default_factory=Queue)
    seen: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            self.lines.put(line)
        self.lines.put("")

    def wait_for(self, words: str) -> str:
        """The next line with some words."""
        while line := self.lines.get(timeout=HANG_S):
            self.seen.append(line)
            if words in line:
                return line
        raise AssertionError("".join(self.seen))

    def rest(self) -> list[str]:
        """All lines that were not cleared, once the command has ended."""
        while line := self.lines.get(timeout=HANG_S):
            self.seen.append(line)
        return self.seen

    def wait_until_ready(self) -> None:
        self.wait_for("ready: ")
        while not is_open(self.port):  # a moment later
            assert self.process.poll() is None

    @property
    def client(self) -> Running:
        return Running(self.port, None)

    def workers(self) -> list[int]:
        """The processes that hold the models."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [int(pid) for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]


@contextmanager
def serving(*arguments: str | Path) -> Iterator[Command]:
    port = free_port()
    command = [sys.executable, "-m", "xception", "serve", *map(str, arguments), "--port", str(port)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        found = Command(process, port)
        try:
            found.wait_until_ready()
            yield found
        finally:
            if process.poll() is None:
                process.terminate()
            process.wait(HANG_S)


def test_signals_reload_the_keys_restart_the_models_and_end_the_service(
    mapped: Bundle, digit_files: list[Path], tmp_path: Path
) -> None:
    """One process for all signals, since it takes seconds to start."""
    keys, grpc_port = write_keys(tmp_path, f"a {OTHER}"), free_port()
    photo = digit_files[0].read_bytes()
    # The first signal to end lets balancers turn away for ten minutes, and the second does not wait.
    options = ["--api-keys", keys, "--shutdown-delay-s", "600", "--grpc-port", str(grpc_port)]
    with serving(f"digits={mapped.path}", *options) as command:
        assert any(re.search(r"memory: [\d,]+ MiB with the models, and at most", line) for line in command.seen)
        assert command.client.post("/v1/classify", photo, Authorization="Bearer other").status == 200

        key, line = new_key("b")
        keys.write_text(line)
        command.process.send_signal(signal.SIGHUP)
        command.wait_for("1 keys were read again")
        assert command.client.post("/v1/classify", photo, Authorization="Bearer other").status == 401
        assert command.client.post("/v1/classify", photo, Authorization=f"Bearer {key}").status == 200

        (worker,) = command.workers()
        os.kill(worker, signal.SIGKILL)
        command.wait_until_ready()
        command.seen.clear()
        own = [photo, *(worded_tiff(60_000 + number) for number in range(20))]  # decoders warn of each in other words
        statuses = [command.client.post("/v1/classify", file, Authorization=f"Bearer {key}").status for file in own]
        assert set(statuses) == {200}

        stop = threading.Event()
        with ThreadPoolExecutor(5) as pool, Client.at(grpc_port) as client:
            asked = [pool.submit(posted, command, photo, key, stop) for _ in range(4)]
            called = pool.submit(calls, client, photo, key, stop)
            for route in ("classify", "grpc ModelInfer"):
                for _ in range(20):
                    command.wait_for(f'"route":"{route}"')
            command.process.terminate()
            while command.client.get("/v2/health/ready").status == 200:
                assert command.process.poll() is None
            refused = command.client.get("/v2/models/digits/ready", Authorization=f"Bearer {key}")
            during = command.client.post("/v1/classify", photo, Authorization=f"Bearer {key}")
            command.process.terminate()
            code = command.process.wait(HANG_S)
            stop.set()
            answers = [answer for future in asked for answer in future.result(HANG_S)]
            codes = called.result(HANG_S)
        said = command.rest()
    assert code == 0
    assert (refused.status, refused.json) == (503, {"name": "digits", "ready": False})
    assert (during.status, during.headers["connection"]) == (200, "close")
    # A connection that the system had taken and the server had not is reset; one that the server took is answered.
    assert set(answers) <= {200, "BrokenPipeError", "ConnectionResetError", "RemoteDisconnected"}
    assert set(codes) <= {"OK", "UNAVAILABLE", "CANCELLED"}  # the last one by gRPC, of a call that it had not passed on
    assert [line for line in said if not line.startswith('{"request":')] == []
    taken = Counter(line["route"] for line in map(json.loads, said) if line["status"] == 200)
    assert (taken["classify"], taken["grpc ModelInfer"]) == (len(own) + answers.count(200) + 1, codes.count("OK"))


def posted(command: Command, photo: bytes, key: str, stop: threading.Event) -> list[int | str]:
    """Ask again and again; the statuses of the replies, and the errors in place of one."""
    found: list[int | str] = []
    while not stop.is_set():
        try:
            found.append(command.client.post("/v1/classify", photo, Authorization=f"Bearer {key}").status)
        except ConnectionRefusedError:
            break
        except OSError as error:
            found.append(type(error).__name__)
    return found


def calls(client: Client, photo: bytes, key: str, stop: threading.Event) -> list[str]:
    """Ask again and again over gRPC; the codes of the replies."""
    request = photos([photo])
    found = []
    while not stop.is_set():
        try:
            client("ModelInfer", request, wait_for_ready=False, metadata=(("authorization", f"Bearer {key}"),))
        except grpc.RpcError as error:
            found.append(error.code().name)
        else:
            found.append("OK")
    return found


def test_certificates_of_ones_own_let_in_those_who_have_one(
    mapped: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = certificates(tmp_path)
    authority, server, client = made["authority"], made["server"], made["client"]
    options = ["--tls-certificate", server.path, "--tls-key", server.key, "--tls-clients", authority.path]
    trusted = ["--tls-authority", str(authority.path)]
    own = [*trusted, "--client-certificate", str(client.path), "--client-key", str(client.key)]
    with serving(f"digits={mapped.path}", *options) as command:
        url = f"https://127.0.0.1:{command.port}"
        check, prove = ["oip-check", url, "--model", "digits"], ["prove", url, "--as", str(mapped.path)]
        assert run([*check, *own]) == 0
        assert run([*prove, "--model", "digits", *own]) == 0
        for arguments, words in (
            ([], "is not trusted: unable to get local issuer certificate; pass its authority's"),
            (trusted, "does it ask clients for a certificate?"),
        ):
            capsys.readouterr()
            assert run([*check, *arguments]) == 3
            assert words in capsys.readouterr().err
        # Who kills the process that listens may start another one at the same port.
        command.process.kill()
        command.rest()  # until the process of models has ended, too
        assert not is_open(command.port)


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["https://127.0.0.1:1", "--client-key", "k"], 2, "pass both --client-certificate and --client-key"),
        (["http://127.0.0.1:1", "--tls-authority", "{page}"], 2, "begins with https://"),
        (["https://127.0.0.1:1", "--tls-authority", "{page}"], 3, "is no certificate: "),
        (["https://127.0.0.1:1", "--tls-authority", "nowhere"], 3, "nowhere is no certificate: "),
        (["https://127.0.0.1:1", "--client-certificate", "{page}", "--client-key", "{page}"], 3, "goes with"),
    ],
)
def test_files_that_are_no_certificates_are_refused(
    options: Sequence[str], code: int, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page"
    page.write_text("no certificate")
    assert run(["oip-check", "--model", "a", *(option.format(page=page) for option in options)]) == code
    assert words in capsys.readouterr().err


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening.getsockname()[1]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 2, "no model is named"),
        (["nowhere"], 3, "nowhere does not exist"),
        (["{bundle}", "a={bundle}", "a={bundle}"], 2, "two models are called 'a'"),
        (["{changed}"], 3, "model.onnx"),
        (["{bundle}", "--port", "{taken}"], 3, "nothing can listen at 127.0.0.1"),
        (["{bundle}", "--grpc-port", "{taken}"], 3, "nothing can listen at 127.0.0.1"),
        (["{bundle}", "--port", "0"], 2, "--port is 0"),
        (["{bundle}", "--grpc-port", "65536"], 2, "--grpc-port is 65536"),
        (["{bundle}", "--grpc-port", "8000"], 2, "--port and --grpc-port are both 8000"),
        (["{bundle}", "--address", "0.0.0.0"], 2, "pass --api-keys FILE, or --open"),
        (["{bundle}", "--address", "no such host."], 2, "--api-keys"),
        (["{bundle}", "--address", "no such host.", "--open"], 2, "no address of this machine"),
        (["{bundle}", "--open", "--api-keys", "k"], 2, "choose one"),
        (["{bundle}", "--api-keys", "nowhere"], 3, "the keys in nowhere cannot be read"),
        (["{bundle}", "--api-keys", "{open_keys}"], 3, "chmod 600"),
        (["{bundle}", "--tls-certificate", "c.pem"], 2, "goes with its key"),
        (["{bundle}", "--tls-clients", "c.pem"], 2, "pass --tls-certificate"),
        (["{bundle}", "--tls-certificate", "nowhere", "--tls-key", "nowhere"], 3, "nowhere cannot be read"),
        (["{bundle}", "--tls-certificate", "{open_keys}", "--tls-key", "{open_keys}"], 3, "holds no key"),
        (["{bundle}", "--max-images", "0"], 2, "--max-images is 0"),
        (["{bundle}", "--timeout-s", "inf"], 2, "--timeout-s is inf"),
        (["{bundle}", "--max-queued", "8"], 2, "lower --max-images"),
        (["{bundle}", "--readers", "0"], 2, "--readers is 0"),
        (["{bundle}", "--backend", "nope"], 2, "unknown backend 'nope'"),
        (["{bundle}", "--digest", "0123456789ab"], 3, "expected 0123456789ab; another bundle lies there"),
        (["{bundle}", "--digest", "012"], 2, "--digest is '012'; expected 12 characters"),
        (["{bundle}", "--shutdown-delay-s", "-1"], 2, "--shutdown-delay-s is -1"),
        (["a={folder}"], 2, "is a folder of bundles, which have the names of their folders"),
        (["{empty}"], 3, "empty"),
    ],
)
def test_what_cannot_be_served_is_said_in_a_sentence(
    arguments: Sequence[str],
    code: int,
    words: str,
    mapped: Bundle,
    taken: int,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    changed = tmp_path / "changed"
    changed.mkdir()
    for file in mapped.path.iterdir():
        content = file.read_bytes()
        is_graph = file.name == "model.onnx"
        (changed / file.name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]) if is_graph else content)
    (tmp_path / "empty").mkdir()
    places = {
        "bundle": mapped.path,
        "folder": mapped.path.parent,
        "empty": tmp_path / "empty",
        "changed": changed,
        "taken": taken,
        "open_keys": write_keys(tmp_path, f"a {OTHER}", mode=0o644),
    }
    assert run(["serve", *(argument.format(**places) for argument in arguments)]) == code
    (line,) = capsys.readouterr().err.splitlines()[-1:]
    assert words in line


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (InputError("the bundle is torn"), 3, "the bundle is torn"),
        (MemoryError(), 3, "not enough memory"),
        (KeyError("node"), 4, "an unforeseen error ended `xception serve a`: KeyError: 'node'"),
    ],
)
def test_a_process_that_cannot_load_ends_as_other_commands_do(
    error: Exception,
    code: int,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fails(_: server.ServerSettings) -> None:
        raise error

    def leave(code: int) -> None:
        raise SystemExit(code)

    monkeypatch.setattr(server, "open_service", fails)
    monkeypatch.setattr(os, "_exit", leave)
    settings = server.ServerSettings(bundles={}, address="127.0.0.1", port=8000, limits=Limits())
    with caplog.at_level(logging.INFO), pytest.raises(SystemExit) as left:
        server.load_application(
            settings, pickle.loads(pickle.dumps(partial(ended, arguments=("serve", "a"), debug=True)))
        )
    assert left.value.code == code
    assert words in caplog.messages[-1]
    assert "Traceback" in capsys.readouterr().err


def test_a_folder_of_bundles_is_all_of_them(mapped: Bundle, tmp_path: Path) -> None:
    (tmp_path / "all" / "no bundle").mkdir(parents=True)
    for name in ("b", "a"):
        (tmp_path / "all" / name).symlink_to(mapped.path)
    inside = [("a", str(tmp_path / "all" / "a")), ("b", str(tmp_path / "all" / "b"))]
    assert unfolded(None, str(tmp_path / "all")) == inside
    assert unfolded("x", str(tmp_path / "all" / "a")) == [("x", str(tmp_path / "all" / "a"))]
    assert unfolded(None, "keras_xception.imagenet") == [(None, "keras_xception.imagenet")]


def test_only_the_bundle_of_the_digest_is_served(mapped: Bundle) -> None:
    digest = mapped.model.digest
    assert bundles([("a", str(mapped.path))], [digest]) == {"a": mapped.path}
    assert bundles([("a", str(mapped.path))], ["f" * 12, digest[:12]]) == {"a": mapped.path}


def test_a_process_manager_is_told_to_wait_and_a_person_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    sent, ended, timers = [], [], []

    class Timer:
        def __init__(self, delay_s: float, end: Callable[[], None]) -> None:
            timers.append((delay_s, end))

        def start(self) -> None:
            sent.append("timer")

    monkeypatch.setattr(server, "Timer", Timer)
    monkeypatch.setattr(os, "kill", lambda *signalled: sent.append(signalled))
    monkeypatch.setattr(Granian, "signal_handler_interrupt", lambda *_: ended.append(True))
    supervisor = server.Supervisor("xception", shutdown_delay_s=5)
    supervisor.wrks = [SimpleNamespace(inner=SimpleNamespace(pid=1234))]

    supervisor.signal_handler_interrupt(signal.SIGTERM, None)
    assert (sent, ended) == ([(1234, signal.SIGUSR1), "timer"], [])
    ((delay_s, end),) = timers
    end()
    assert (delay_s, ended) == (5, [True])
    supervisor.signal_handler_interrupt(signal.SIGTERM, None)  # who asks twice is in a hurry
    assert (len(timers), len(ended)) == (1, 2)

    another = server.Supervisor("xception", shutdown_delay_s=5)
    another.signal_handler_interrupt(signal.SIGINT, None)
    assert (len(timers), len(ended)) == (1, 3)


COMMANDS_OF_PAGES = [
    line
    for page in PAGES.values()
    for line in page.read_text("utf-8").splitlines()
    if line.startswith("xception serve ")
]


@pytest.mark.parametrize("line", COMMANDS_OF_PAGES)
def test_the_commands_of_the_pages_are_understood(line: str) -> None:
    """They do not end by themselves; `test_signals_...` runs one."""
    _, bound, _ = build_app(["serve"]).parse_args(shlex.split(line)[1:], exit_on_error=False, print_error=False)
    bound.arguments["listening"].check() if "listening" in bound.arguments else None
    assert bound.arguments["models"]


def test_the_pages_have_commands() -> None:
    assert len(COMMANDS_OF_PAGES) >= 2


def test_the_page_and_the_description_for_programs_name_the_same_failures() -> None:
    rows = re.findall(
        r"^\| (4\d\d|5\d\d)(?:, (\d+))? \|", PAGES["docs/reference/serving.md"].read_text("utf-8"), re.MULTILINE
    )
    assert {int(status) for row in rows for status in row if status} - {405} == set(FAILURE_WORDS)


def test_names_by_which_a_server_may_be_asked() -> None:
    assert is_loopback("127.0.0.1") and is_loopback("::1") and is_loopback("localhost")
    assert not is_loopback("0.0.0.0") and not is_loopback("example.org")
    assert allowed_hosts("0.0.0.0", frozenset()) is None
    assert "localhost" in (allowed_hosts("127.0.0.1", frozenset({"a"})) or ())
    assert allowed_hosts("10.0.0.1", frozenset({"a"})) == {"10.0.0.1", "a"}
