from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.contenders import loops
from tests.support.samples import encoded, picture
from xception.bundle import Bundle
from xception.forms import Form


@pytest.mark.parametrize(("form", "options"), [("onnx", ("onnxruntime",)), ("openvino", ("openvino", "f32"))])
def test_a_loop_answers_every_photo_with_its_own_classes(
    form: Form,
    options: tuple[str, ...],
    forms: dict[Form, Bundle],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / form).symlink_to(forms[form].path)
    photos = tmp_path / "photos" / "class"
    photos.mkdir(parents=True)
    for index in range(7):
        (photos / f"{index}.png").write_bytes(encoded(picture(seed=index)))
    ranked: list[np.ndarray] = []

    def kept(logits: np.ndarray) -> np.ndarray:
        ranked.append(rank(logits))
        return ranked[-1]

    rank = loops._ranked
    monkeypatch.setattr(loops, "_ranked", kept)
    loop = loops.make(Namespace(bundles=tmp_path, options=options))
    monkeypatch.setattr(loops, "PILLOW_THREADS", (2, 3))
    assert loop.end_to_end(photos.parent, 3) == 7
    assert loop.settings in [loops.Settings(threads, count) for threads in (2, 3) for count in loop.most_at_once]
    ranked.clear()
    assert loop.end_to_end(photos.parent, 3) == 7
    logits = loop.logits(np.stack([forms[form].model.preprocess(picture(seed=index)) for index in range(7)]))
    expected = np.argsort(-logits, 1)[:, : loops.TOP]
    assert sorted(map(tuple, np.concatenate(ranked))) == sorted(map(tuple, expected))
