"""The command line as a whole: help, exit codes, and one sentence an error."""

import errno
import importlib
import inspect
import logging
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from tests.cli.conftest import command_line
from tests.support.samples import HANG_S, picture
from xception.bundle import MANIFEST, Bundle
from xception.cli.app import COMMANDS, GROUPS, REMARKED, run
from xception.errors import install_command


def complaint(capsys: pytest.CaptureFixture[str], code: int, *arguments: str | Path) -> str:
    """The one line that a command which exits with `code` writes to stderr."""
    assert run([str(argument) for argument in arguments]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert len(lines) == 1, captured.err
    return lines[0].removeprefix("xception: ")


def test_a_program_that_calls_it_keeps_its_own_handlers() -> None:
    logs = [logging.getLogger(name) for name in REMARKED]
    own = logging.NullHandler()
    before = [(log.handlers.copy(), log.level) for log in logs]
    for log in logs:
        log.addHandler(own)
    try:
        assert run(["list"]) == 0
        assert [(log.handlers, log.level) for log in logs] == [([*handlers, own], level) for handlers, level in before]
    finally:
        for log in logs:
            log.removeHandler(own)


def test_help_lists_every_verb_with_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    text = capsys.readouterr().out
    for name, verb in COMMANDS.items():
        assert name.split()[0] in text
        assert verb.help.split()[0] in text or " " in name


@pytest.mark.parametrize("group", GROUPS)
def test_a_group_lists_its_verbs(group: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([group, "--help"]) == 0
    text = capsys.readouterr().out
    members = {name: verb for name, verb in COMMANDS.items() if name.startswith(f"{group} ")}
    assert all(name.split()[1] in text and verb.help.split()[0] in text for name, verb in members.items())


@pytest.mark.parametrize("verb", COMMANDS)
def test_every_verb_shows_two_examples_in_its_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*verb.split(), "--help"]) == 0
    assert capsys.readouterr().out.count(f"xception {verb} ") + (verb in ("list", "demo")) >= 2


def test_an_unknown_verb_is_a_usage_error_with_a_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    assert "evaluate" in complaint(capsys, 2, "evalute")


def test_an_unknown_option_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--jsn" in complaint(capsys, 2, "list", "--jsn")


def test_an_unknown_variant_is_a_usage_error_with_a_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    assert "did you mean keras_xception" in complaint(capsys, 2, "info", "keras_xcepton")


def test_an_ambiguous_variant_is_refused_with_its_candidates(capsys: pytest.CaptureFixture[str]) -> None:
    text = complaint(capsys, 2, "info", "xception41")
    assert all(name in text for name in ("timm_xception41", "ppcls_xception41", "ppcls_xception41_deeplab"))


def test_an_unknown_recipe_key_is_named_with_the_nearest(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = tmp_path / "run"
    text = complaint(capsys, 2, "train", "digits", "--set", "optim.lrr=0.1", "--out", out)
    assert "'lrr'" in text
    assert "did you mean optim.lr" in text
    assert not out.exists()


def test_an_unknown_recipe_is_a_usage_error(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "did you mean digits" in complaint(capsys, 2, "train", "digit", "--out", tmp_path / "run")


def test_a_negative_rate_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "optim.lr" in complaint(capsys, 2, "train", "digits", "--set", "optim.lr=-1", "--out", tmp_path / "run")


@pytest.mark.parametrize("name", ["weights.safetensors", "labels.txt", MANIFEST])
def test_a_changed_byte_is_found_unless_nothing_is_verified(
    name: str, weights_bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for file in weights_bundle.path.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    content = bytearray((tmp_path / name).read_bytes())
    content[-2] ^= 1 if name != MANIFEST else 0x2A  # the manifest stays JSON: its last brace and newline do not
    if name == MANIFEST:
        content = bytearray((tmp_path / name).read_bytes().replace(b'"small"', b'"smell"'))
    (tmp_path / name).write_bytes(content)
    assert run(["info", str(tmp_path), "--no-verify"]) == 0
    assert "is not verified" in capsys.readouterr().err
    assert name in complaint(capsys, 3, "info", tmp_path)


def test_another_format_version_names_both(
    weights_bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = msgspec.json.decode((weights_bundle.path / MANIFEST).read_bytes())
    (tmp_path / MANIFEST).write_bytes(msgspec.json.encode(document | {"format_version": 99}))
    text = complaint(capsys, 3, "evaluate", tmp_path, "digits")
    assert "version 99" in text
    assert "version 1" in text


@pytest.mark.parametrize(
    ("module", "extra", "arguments"),
    [
        ("onnxruntime", "onnx", ["benchmark", "{onnx}"]),
        ("openvino", "openvino", ["benchmark", "{onnx}", "--backend", "openvino"]),
        ("sklearn", "train", ["evaluate", "{onnx}", "digits"]),
        ("lightning_fabric", "torch", ["train", "digits", "--out", "{new}"]),
        ("matplotlib", "report", ["demo", "--out", "{new}"]),
    ],
)
def test_a_missing_extra_is_named_with_the_command_that_installs_it(
    module: str,
    extra: str,
    arguments: list[str],
    onnx_bundle: Bundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in [name for name in sys.modules if name == module or name.startswith(f"{module}.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    new = tmp_path / "new"
    filled = [argument.format(onnx=onnx_bundle.path, new=new) for argument in arguments]
    assert install_command(extra) in complaint(capsys, 3, *filled)
    assert not new.exists()


@pytest.mark.parametrize("verb", ["evaluate", "benchmark"])
def test_a_missing_bundle_is_one_sentence(verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "does not exist" in complaint(capsys, 3, verb, tmp_path / "none", "digits")


def test_a_missing_image_is_one_sentence(
    onnx_bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "none.png does not exist" in complaint(capsys, 3, "predict", onnx_bundle.path, tmp_path / "none.png")


@pytest.mark.parametrize("verb", ["evaluate", "predict"])
def test_an_empty_folder_is_one_sentence(
    verb: str, onnx_bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "expected" in complaint(capsys, 3, verb, onnx_bundle.path, tmp_path) or verb == "predict"


@pytest.mark.parametrize(
    "arguments",
    [
        ["export", "{weights}", "--to", "onnx", "--out", "{out}"],
        ["train", "digits", "--out", "{out}"],
        ["demo", "--out", "{out}"],
    ],
)
def test_an_unwritable_output_leaves_nothing_behind(
    arguments: list[str], weights_bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Below a file, where not even root may write.
    (tmp_path / "file").write_text("kept")
    filled = [argument.format(weights=weights_bundle.path, out=tmp_path / "file" / "out") for argument in arguments]
    assert "cannot write" in complaint(capsys, 3, *filled)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "kept"


def test_a_traceback_is_shown_with_debug_only(capsys: pytest.CaptureFixture[str]) -> None:
    assert "Traceback" not in complaint(capsys, 2, "info", "no_such_thing")
    assert run(["info", "no_such_thing", "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["info", "predict", "evaluate"])
def test_a_name_that_is_too_long_is_one_sentence(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    complaint(capsys, 3, verb, "x" * 300, *(() if verb == "info" else ("digits",)))


@pytest.mark.parametrize("name", ["xception.backends", "xception.data.inventory"])
def test_a_remark_is_one_line_without_a_name(name: str) -> None:
    script = f"""
import logging
from xception.cli import app

def remarking(*_, **__):
    logging.getLogger({name!r}).warning("a remark")
    logging.getLogger("another.package").warning("nothing to say")

app.build_app = lambda tokens: remarking
app.run(["list"])
"""
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True, timeout=HANG_S)
    assert done.stderr == "WARNING: a remark\n"


def test_a_folder_that_is_gone_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def gone() -> Path:
        raise FileNotFoundError(errno.ENOENT, "No such file or directory")

    monkeypatch.setattr(Path, "cwd", gone)
    assert complaint(capsys, 3, "info", "keras_xception").endswith(
        "is gone (No such file or directory); change to another one"
    )


def test_a_closed_output_is_one_sentence() -> None:
    done = subprocess.run(["sh", "-c", f"{sys.executable} -m xception list >&-"], capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (3, b"")
    assert done.stderr == b"xception: the standard output is closed; send it to a file, or to /dev/null\n"


def test_an_output_that_is_not_unicode_shows_escapes(onnx_bundle: Bundle, tmp_path: Path) -> None:
    picture().save(tmp_path / "ä.png")
    done = subprocess.run(
        command_line("predict", onnx_bundle.path, tmp_path / "ä.png"),
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert rb"\xe4.png" in done.stdout


def test_a_reader_that_leaves_early_is_no_error() -> None:
    # `head -c 1` closes the pipe long before the table is written.
    process = subprocess.Popen(command_line("list", "--json"), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    _, errors = process.communicate(timeout=HANG_S)
    assert b"Traceback" not in errors


def test_output_that_finds_no_room_is_one_sentence(onnx_bundle: Bundle, tmp_path: Path) -> None:
    picture().save(tmp_path / "a.png")
    for arguments in (("list",), ("predict", onnx_bundle.path, tmp_path / "a.png", "--json")):
        with Path("/dev/full").open("wb") as full:
            done = subprocess.run(command_line(*arguments), stdout=full, stderr=subprocess.PIPE, check=False)
        assert done.returncode == 3
        assert done.stderr == (
            b"xception: cannot write the output: No space left on device; send it where there is room\n"
        )


def test_an_interrupted_run_ends_at_once_and_says_so(onnx_bundle: Bundle, tmp_path: Path) -> None:
    picture().save(tmp_path / "a.png")
    many = [tmp_path / "a.png"] * 5_000  # whose answers no pipe holds
    process = subprocess.Popen(
        command_line("predict", onnx_bundle.path, *many, "--csv"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # What a shell starts in the background ignores interrupts, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith(b"path,")
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=HANG_S)
    assert process.returncode == 130
    assert errors == b"xception: interrupted; nothing half-written was left behind\n"
    assert output.count(b"\n") < len(many)


@pytest.mark.parametrize("verb", COMMANDS)
def test_examples_can_be_pasted_from_eighty_columns(
    verb: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert run([*verb.split(), "--help"]) == 0
    shown = {line.strip() for line in capsys.readouterr().out.splitlines()}
    written = [
        line.strip()
        for text in re.findall(r"```\n(.*?)```", documentation(verb), re.DOTALL)
        for line in text.splitlines()
    ]
    assert written
    assert set(written) <= shown


def documentation(verb: str) -> str:
    module, _, name = COMMANDS[verb].function.partition(":")
    return inspect.cleandoc(getattr(importlib.import_module(module), name).__doc__)


@pytest.mark.parametrize(
    ("word", "option"), [(["help"], ["--help"]), (["help", "predict"], ["predict", "--help"]), (["version"], ["-V"])]
)
def test_words_that_people_try_stand_for_options(
    word: list[str], option: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(word) == 0
    shown = capsys.readouterr().out
    assert run(option) == 0
    assert (shown, bool(shown)) == (capsys.readouterr().out, True)


def test_completion_is_installed_for_the_shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SHELL", "/bin/bash")
    assert run(["--install-completion"]) == 0
    (script,) = (path for path in tmp_path.rglob("xception*") if path.is_file())
    assert "--precision" in script.read_text(encoding="utf-8")
