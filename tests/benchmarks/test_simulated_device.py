import re
from argparse import Namespace

import pytest

from benchmarks.simulated_device import _lines
from tests.support.samples import encoded, picture
from xception.data.source import Item
from xception.pipeline import stream
from xception.preprocess import CenterCrop, Preprocess, ShorterSide


def test_a_simulated_device_is_given_few_arrays_for_many_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "empty_batch", stream.__dict__["empty_batch"])
    file = encoded(picture(), "JPEG")
    items = tuple(Item(str(index), None, lambda: file) for index in range(80))
    preprocess = Preprocess(resize=ShorterSide(px=299), crop=CenterCrop(width_px=299, height_px=299))
    lines = _lines(1, items, preprocess, Namespace(rate=1e9, batch=8, repeats=1)).splitlines()
    assert re.fullmatch(r"1 cores, batch 8, [1-3] arrays of 8 images", lines[0])
    assert [line.split(":")[0].strip() for line in lines[1:]] == ["decoding alone", "threads", "processes"]
    assert all(re.search(r": [\d,]+ images/s, ratio \d+\.\d\d \(", line) for line in lines[1:])
