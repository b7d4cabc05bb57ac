import errno
from pathlib import Path

import pytest

from xception.cli.app import run
from xception.cli.failures import EXIT_FAULT, EXIT_INTERRUPTED, ending_of
from xception.errors import CheckFailed, DecodeError, UnknownName


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (CheckFailed("worse"), 1, "worse"),
        (UnknownName("verb", "x", ["y"]), 2, "unknown verb"),
        (DecodeError("no image"), 3, "no image"),
        (KeyboardInterrupt(), EXIT_INTERRUPTED, "interrupted"),
        (MemoryError(), 3, "memory"),
        (OSError(errno.ENAMETOOLONG, "File name too long", "xxx"), 3, "cannot use xxx: File name too long"),
        (OSError(errno.ENOSPC, "No space left on device"), 3, "cannot write the output"),
        (OSError("the server of x sends nothing"), 3, "the server of x sends nothing"),
        (ModuleNotFoundError("No module named 'own'", name="own"), EXIT_FAULT, "ModuleNotFoundError"),
        (RecursionError("maximum depth"), EXIT_FAULT, "`xception info FILE`: RecursionError: maximum depth"),
        (ValueError(), EXIT_FAULT, "ValueError; this"),
    ],
)
def test_every_error_has_a_sentence_and_a_code(error: BaseException, code: int, words: str) -> None:
    ending = ending_of(error, ["info", "FILE"])
    assert ending.code == code
    assert words in ending.sentence


def test_an_unforeseen_error_is_one_printable_sentence_and_no_verdict(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(model: str, /) -> None:
        raise KeyError("\x1b[2J\ntwo")

    monkeypatch.setattr("xception.cli.info.info", fail)
    assert run(["info", "http://user:secret@host/x"]) == EXIT_FAULT
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1
    assert "KeyError" in errors
    assert "--debug" in errors
    assert "secret" not in errors
    assert errors.rstrip().isprintable()


@pytest.mark.parametrize(
    ("words", "suggested"),
    [
        (("predct", "a"), "did you mean predict?"),
        (("classify", "a"), "did you mean predict?"),
        (("data", "chek"), "did you mean data check?"),
        (("nonsense",), "expected one of demo, list, info, predict"),
        (("photo.jpg",), "xception predict keras_xception.imagenet photo.jpg"),
        (("predict", "photo.jpg"), "xception predict keras_xception.imagenet photo.jpg"),
        (("predict", "photo.jpg", "a-model"), "xception predict a-model photo.jpg"),
        (("folder",), "xception info folder"),
    ],
)
def test_what_was_meant_is_suggested(
    words: tuple[str, ...],
    suggested: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photo.jpg").touch()
    (tmp_path / "folder").mkdir()
    assert run(list(words)) == 2
    assert suggested in capsys.readouterr().err
