import os
import threading
from collections.abc import Iterator

import pytest

from tests.support.samples import labelled
from tests.support.shards import killing
from xception.bundle import Bundle
from xception.pipeline.engine import Engine
from xception.tasks.quarantine import deadly_images


@pytest.fixture
def engine(onnx_bundle: Bundle) -> Iterator[Engine]:
    with Engine.open(onnx_bundle) as opened:
        yield opened


def test_all_images_that_kill_are_found_and_no_other(engine: Engine) -> None:
    items = killing(labelled(9, broken=(1,)), 0, 5, 6).items
    assert deadly_images(engine.lane, items) == {0, 5, 6}
    assert deadly_images(engine.lane, labelled(9, broken=(1,)).items) == frozenset()


def test_an_image_that_kills_while_it_is_decoded_is_found(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    source = labelled(5)
    worst = source[3].load()

    def decode(loaded: object, *_: object) -> None:
        if loaded == worst:
            os.abort()

    monkeypatch.setattr("xception.tasks.quarantine.prepare_image", decode)
    assert deadly_images(engine.lane, source.items) == {3}


def test_what_a_process_registered_for_its_end_condemns_no_image(engine: Engine) -> None:
    child = os.fork()
    if not child:
        threading._register_atexit(lambda: 1 / 0)  # type: ignore[attr-defined]
        os._exit(len(deadly_images(engine.lane, labelled(3).items)))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
