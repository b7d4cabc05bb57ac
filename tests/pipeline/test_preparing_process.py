import io
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from tests.support.samples import HANG_S, encoded, labelled, picture
from xception import machine
from xception.bundle import Bundle
from xception.data.source import Item
from xception.errors import DecodeError
from xception.pipeline import preparing_process as module
from xception.pipeline.cores import Cores, processes_for
from xception.pipeline.engine import Engine
from xception.pipeline.lane import Failure, Scored
from xception.pipeline.prepare import Preparation, prepare_image
from xception.pipeline.preparing_process import PreparingProcess
from xception.preprocess import CenterCrop, Preprocess, ShorterSide, Squash

SMALL = Preparation(preprocess=Preprocess(resize=Squash(width_px=16, height_px=12)), mode="exact")
WAYS = [
    SMALL,
    Preparation(
        preprocess=Preprocess(resize=ShorterSide(px=20), crop=CenterCrop(width_px=16, height_px=16)), mode="fast"
    ),
    Preparation(preprocess=Preprocess(resize=Squash(width_px=9, height_px=9), fractions=True), mode="reference"),
    Preparation(preprocess=Preprocess(color="gray", mean=(0.5,), std=(0.5,)), mode="exact"),
]


@pytest.fixture(scope="module")
def process() -> Iterator[PreparingProcess]:
    started = PreparingProcess()
    yield started
    started.close()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("file", [encoded(picture(90, 70), "JPEG"), encoded(picture(33, 50))])
def test_pixels_are_those_of_this_process_to_the_bit(process: PreparingProcess, way: Preparation, file: bytes) -> None:
    ours, theirs = prepare_image(file, way), process(file, way)
    assert theirs.levels.dtype == ours.levels.dtype
    assert np.array_equal(theirs.levels, ours.levels)


@pytest.mark.parametrize("file", [b"", b"This is not an image.", encoded(picture(90, 70), "JPEG")[:900]])
def test_what_cannot_be_decoded_is_refused_in_the_same_words(process: PreparingProcess, file: bytes) -> None:
    with pytest.raises(DecodeError) as ours:
        prepare_image(file, SMALL)
    with pytest.raises(DecodeError) as theirs:
        process(file, SMALL)
    assert str(theirs.value) == str(ours.value)


def test_damage_is_noted_or_refused_as_here(process: PreparingProcess) -> None:
    file = bytearray(encoded(picture(90, 70), "JPEG"))
    file[-200:-2] = bytes(198)
    noted = msgspec.structs.replace(SMALL, damage="noted")
    warning = prepare_image(bytes(file), noted).warning
    assert warning
    assert process(bytes(file), noted).warning == warning
    with pytest.raises(DecodeError, match=re.escape(warning)):
        process(bytes(file), msgspec.structs.replace(SMALL, damage="refused"))


def test_the_limit_of_pixels_is_that_of_the_process_that_asks(
    process: PreparingProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(DecodeError, match="too many pixels"):
        process(encoded(picture(90, 70)), SMALL)


def test_what_is_no_file_needs_no_process() -> None:
    process = PreparingProcess()
    assert process(picture(), SMALL).levels.shape == (3, 12, 16)
    assert process._process is None


def test_a_process_that_ended_is_started_again(process: PreparingProcess) -> None:
    process(encoded(picture()), SMALL)
    started = process._process
    assert started is not None
    os.kill(started.pid, signal.SIGKILL)
    assert np.array_equal(process(encoded(picture()), SMALL).levels, prepare_image(encoded(picture()), SMALL).levels)
    assert process._process is not started


def test_a_file_on_which_every_process_ends_counts_as_undecodable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A module of Pillow's, found first, ends the process at a file's first bytes, as a crash of a decoder does.
    crashing = tmp_path / "simplejpeg.py"
    crashing.write_text("import os\ndef decode_jpeg(*_, **__): os._exit(7)\n", encoding="utf-8")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    process = PreparingProcess()
    with pytest.raises(DecodeError, match="ended with the status 7, 2 times"):
        process(encoded(picture(90, 70), "JPEG"), SMALL)
    assert process(encoded(picture()), SMALL).levels.shape == (3, 12, 16)
    process.close()


def test_an_interruption_does_not_shift_the_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    process = PreparingProcess()
    received = module._received

    def interrupted(pipe: object) -> tuple[bytes, bytes]:
        monkeypatch.setattr(module, "_received", received)
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_received", interrupted)
    with pytest.raises(KeyboardInterrupt):
        process(encoded(picture(seed=1)), SMALL)
    second = encoded(picture(seed=2))
    assert np.array_equal(process(second, SMALL).levels, prepare_image(second, SMALL).levels)
    process.close()


def test_an_error_that_no_image_causes_is_raised_by_the_one_who_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(file: bytes, way: Preparation) -> object:
        raise KeyError("no such way")

    monkeypatch.setattr(module, "prepare_image", broken)
    reply, levels = module._reply(b"", SMALL)
    with pytest.raises(RuntimeError, match="KeyError: 'no such way'"):
        module._image(reply, levels.tobytes())


def test_the_other_end_answers_until_there_are_no_more_requests() -> None:
    requests, replies = io.BytesIO(), io.BytesIO()
    for file in (encoded(picture()), b""):
        module._send(requests, module._encoded(SMALL, Image.MAX_IMAGE_PIXELS, PngImagePlugin.MAX_TEXT_MEMORY), file)
    requests.write(b"\1")
    module._reply_to_all(io.BytesIO(requests.getvalue()), replies)
    replies.seek(0)
    first, second = [msgspec.msgpack.decode(module._received(replies)[0], type=module.AboutImage) for _ in range(2)]
    assert first.shape == (3, 12, 16)
    assert second.refusal == "the file is empty"
    with pytest.raises(EOFError):
        module._received(replies)


KILLED = """
import os, signal, sys
from tests.support.samples import encoded, picture
from tests.pipeline.test_preparing_process import SMALL
from xception.pipeline.preparing_process import PreparingProcess
process = PreparingProcess()
process(encoded(picture()), SMALL)
print(process._process.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_no_process_stays_behind_one_that_was_killed() -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED], capture_output=True, text=True, timeout=HANG_S, check=False)
    status = Path("/proc", killed.stdout.strip(), "status")
    waiting = iter(range(10**6))
    while status.exists() and "State:\tZ" not in status.read_text() and next(waiting, None) is not None:
        os.sched_yield()
    assert killed.returncode == -signal.SIGKILL
    assert not status.exists() or "State:\tZ" in status.read_text()


def test_an_engine_with_processes_answers_the_same(onnx_bundle: Bundle) -> None:
    items = [*labelled(9, broken=(2, 5)), Item("picture", None, picture)]
    with Engine.open(onnx_bundle) as threads, Engine.open(onnx_bundle, processes=2) as processes:
        ours, theirs = list(threads.run(items)), list(processes.run(items))
        assert processes.lane.cores.count == 2
    assert [type(outcome) for outcome in ours] == [type(outcome) for outcome in theirs]
    for one, other in zip(ours, theirs, strict=True):
        if isinstance(one, Scored) and isinstance(other, Scored):
            assert np.array_equal(one.logits, other.logits)
        elif isinstance(one, Failure) and isinstance(other, Failure):
            assert one == other
    assert all(process._process is None for process in processes.lane.cores.processes)


@pytest.mark.parametrize(
    ("cores", "images", "expected"), [(4, 10**6, 0), (16, 10**6, 16), (16, 1999, 0), (16, None, 0)]
)
def test_processes_are_started_where_they_pay(
    cores: int, images: int | None, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "cores", lambda: cores)
    assert processes_for(images) == expected


def test_cores_of_processes_are_as_many() -> None:
    assert Cores(processes=3).count == 3
