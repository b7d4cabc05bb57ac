"""Files on which LiteRT crashes are refused by one sentence, and files that ran before are not tried again."""

import subprocess
from pathlib import Path

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from tests.fuzz.litert_trials import forked_trials
from xception.backends import trial
from xception.backends.base import open_session
from xception.backends.trial import mark_as_tried, try_litert
from xception.bundle import Bundle, write_bundle
from xception.errors import InputError
from xception.upstream import litert_trial

NO_TENSOR = -1


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def sound(forms: dict[str, Bundle]) -> bytes:
    return forms["litert"].content()


@pytest.fixture
def deadly(sound: bytes) -> bytes:
    """The same network, in which a sum reads a tensor that is none: LiteRT 2.1 reads beyond its own memory."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(sound))
    codes = [code.builtinCode for code in model.operatorCodes]
    sums = [row for row in model.subgraphs[0].operators if codes[row.opcodeIndex] == schema.BuiltinOperator.ADD]
    sums[0].inputs = np.array([sums[0].inputs[0], NO_TENSOR], np.int32)
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def test_a_file_that_crashes_the_runtime_is_refused(forms: dict[str, Bundle], deadly: bytes, tmp_path: Path) -> None:
    whole = forms["litert"]
    bundle = write_bundle(tmp_path / "deadly", whole.model, whole.labels, {"model.tflite": deadly})
    with pytest.raises(InputError, match=r"LiteRT crashes on .*model.tflite .*ended with -?\d+.* get the model"):
        open_session(bundle)


def test_forks_find_what_processes_find(sound: bytes, deadly: bytes, tmp_path: Path) -> None:
    """The fuzzer's trials of many files, against one process each."""
    with forked_trials() as forked:
        for content in (sound, b"no graph", deadly, sound):
            (tmp_path / "model.tflite").write_bytes(content)
            found = forked(tmp_path / "model.tflite")
            assert found == trial.exit_status(tmp_path / "model.tflite")
            assert bool(found) == (content is deadly)


def test_a_sound_file_is_tried_once(sound: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    try_litert(sound, Path("model.tflite"))
    monkeypatch.setattr(subprocess, "run", None)
    try_litert(sound, Path("model.tflite"))


def test_a_file_that_was_checked_when_it_was_made_is_not_tried(sound: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    mark_as_tried(sound)
    monkeypatch.setattr(subprocess, "run", None)
    try_litert(sound, Path("model.tflite"))


def test_a_cache_that_cannot_be_written_costs_nothing_but_another_trial(cache: Path, sound: bytes) -> None:
    cache.write_text("no folder")
    try_litert(sound, Path("model.tflite"))


def test_a_file_that_never_ends_is_given_up(sound: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    endless = tmp_path / "endless.py"
    endless.write_text("while True: pass\n")
    monkeypatch.setattr(litert_trial, "__file__", str(endless))
    monkeypatch.setattr(trial, "MAX_TRIAL_S", 0.1)
    with pytest.raises(InputError, match=r"still busy with one image of model\.tflite"):
        try_litert(sound, Path("model.tflite"))
