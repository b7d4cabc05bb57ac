import logging
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import msgspec
import numpy as np
import pytest
import torch

from tests.conftest import PX
from tests.support.samples import HANG_S
from xception.arch.spec import Architecture
from xception.backends import torch_compiled as module
from xception.backends.base import Compute, InferPrecision, Logits, empty_batch, open_session
from xception.backends.torch_compiled import BatchShape, CompiledSession
from xception.bundle import Bundle
from xception.errors import EnvironmentFault
from xception.forms import Form
from xception.models.network import build

TOLERANCE = 1e-5
"""Relative to the largest logit; float32 rounding stays below 1e-6."""


@pytest.fixture(autouse=True)
def _quick_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of torch's compiler but the code that it writes, which takes seconds."""
    monkeypatch.setattr(module, "COMPILER", "aot_eager")


def opened(bundle: Bundle, **compute: Any) -> closing[CompiledSession]:
    network = build(bundle.model.network.architecture(), bundle.tensors())
    return closing(CompiledSession(network, bundle.model.preprocess, (PX, PX), Compute(device="cpu", **compute)))


@pytest.fixture
def bundle(forms: dict[Form, Bundle]) -> Bundle:
    return forms["weights"]


@pytest.fixture
def session(bundle: Bundle) -> Iterator[CompiledSession]:
    with opened(bundle, instances=2) as session:
        yield session


def images(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 3, PX, PX), np.uint8)


def expected(bundle: Bundle, given: np.ndarray) -> Logits:
    with closing(open_session(bundle, "torch", Compute(device="cpu", threads=1))) as session:
        return session(bundle.model.preprocess.normalize(given))


def difference(logits: Logits, truth: Logits) -> float:
    return float(np.abs(logits - truth).max() / np.abs(truth).max())


@pytest.mark.parametrize("is_compiled", [False, True])
def test_images_and_pixels_give_the_logits_of_the_network(
    session: CompiledSession, bundle: Bundle, is_compiled: bool
) -> None:
    if is_compiled:
        session.warm_up(4, PX, PX)
        session._prepare(BatchShape(torch.float32, 4, PX, PX))
        assert len(session._ready) == 2
    given = images(4)
    truth = expected(bundle, given)
    pixels = bundle.model.preprocess.normalize(given)
    assert difference(session(given), truth) <= TOLERANCE
    assert difference(session(pixels), truth) <= TOLERANCE
    assert difference(session(images(4, seed=1)), truth) > 100 * TOLERANCE


def test_a_compiled_session_answers_each_batch_anew_whatever_its_size(session: CompiledSession, bundle: Bundle) -> None:
    session.warm_up(4, PX, PX)
    for count, seed in ((4, 1), (3, 2), (1, 3), (4, 4), (9, 5)):
        given = images(count, seed)
        logits = session(given)
        assert logits.shape[0] == count
        assert difference(logits, expected(bundle, given)) <= TOLERANCE
        kept = logits.copy()
        session(images(count, seed + 10))
        assert np.array_equal(logits, kept)


def test_threads_at_once_get_their_own_answers(session: CompiledSession, bundle: Bundle) -> None:
    session.warm_up(2, PX, PX)
    batches = [images(2, seed) for seed in range(8)]
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(session, batches))
    truth = expected(bundle, np.concatenate(batches))
    assert difference(np.concatenate(answers), truth) <= TOLERANCE


def test_a_batch_may_lie_in_memory_in_any_order(session: CompiledSession, bundle: Bundle) -> None:
    given = images(2)
    filled = empty_batch(session.facts, 2, PX, PX)
    filled[:] = given
    assert session.facts.input_layout == "nhwc"
    truth = session(given)
    assert np.array_equal(session(filled), truth)
    assert np.array_equal(session(given[:, ::-1].copy()[:, ::-1]), truth)


@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16", "float16"])
def test_each_precision_stays_near_float32_and_leaves_torch_as_it_was(
    bundle: Bundle, precision: InferPrecision
) -> None:
    flags = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    with opened(bundle, precision=precision) as session:
        logits = session(images(3))
    error = difference(logits, expected(bundle, images(3)))
    assert logits.dtype == np.float32
    assert (error <= TOLERANCE) if precision in ("float32", "tf32") else (TOLERANCE < error < 0.05)
    assert (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32) == flags


def test_float32_is_rounded_to_tf32_only_where_that_was_asked_for(bundle: Bundle) -> None:
    for precision, rounded in (("float32", False), ("tf32", True)):
        with opened(bundle, precision=precision) as session, session._rounding():
            assert torch.backends.cudnn.allow_tf32 is rounded
            assert torch.backends.cuda.matmul.allow_tf32 is rounded


def test_a_size_that_is_computed_for_long_is_compiled_in_the_background(
    session: CompiledSession, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    session(images(3))
    assert not session._ready
    monkeypatch.setattr(module, "MAX_UNCOMPILED_S", 0.0)
    session._uncompiled_s.clear()
    session(images(3))
    session(images(3))
    session._background.submit(lambda: None).result()
    assert session._ready == (BatchShape(torch.uint8, 3, PX, PX),)
    assert difference(session(images(2, 7)), expected(bundle, images(2, 7))) <= TOLERANCE


def test_a_caller_that_holds_an_instance_does_not_wait_for_the_compiler(session: CompiledSession) -> None:
    with torch.inference_mode(), session._pool.lend() as instance, session._rounding():
        compiling = session._background.submit(session._prepare, BatchShape(torch.uint8, 1, PX, PX))
        instance.uncompiled(session.network, torch.from_numpy(images(1)), session._rounding)
    compiling.result(HANG_S)
    assert session._ready


def test_where_compiling_fails_it_stays_uncompiled_and_that_is_said_once(
    session: CompiledSession, bundle: Bundle, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "COMPILER", "inductor")
    monkeypatch.setattr(module, "COMPILE_OPTIONS", {"no_such_setting": True})
    with caplog.at_level(logging.WARNING, "xception.backends"):
        session.warm_up(2, PX, PX)
        session.warm_up(4, PX, PX)
    (remark,) = caplog.messages
    assert remark.startswith("torch cannot compile the network for cpu (")
    assert "no_such_setting" in remark
    assert difference(session(images(2)), expected(bundle, images(2))) <= TOLERANCE


def test_a_batch_beyond_the_memory_goes_in_halves_and_that_is_said_once(
    session: CompiledSession, bundle: Bundle, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    answer, sizes = session._logits, []

    def small(given: torch.Tensor) -> Logits:
        sizes.append(len(given))
        if len(given) > 2:
            raise torch.OutOfMemoryError("out of memory")
        return answer(given)

    monkeypatch.setattr(session, "_logits", small)
    with caplog.at_level(logging.WARNING, "xception.backends"):
        assert difference(session(images(8)), expected(bundle, images(8))) <= TOLERANCE
        assert difference(session(images(5)), expected(bundle, images(5))) <= TOLERANCE
    assert sizes == [8, 4, 2, 2, 2, 2, 2, 2, 1]
    assert caplog.messages == ["cpu has not enough memory for 8 images at once; it takes fewer"]


def test_memory_for_not_one_image_is_told_in_one_sentence(
    session: CompiledSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(given: torch.Tensor) -> Logits:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate\nmore")

    monkeypatch.setattr(session, "_logits", none)
    with pytest.raises(
        EnvironmentFault, match=r"not enough free memory for one image .*; free some, or use --device cpu"
    ):
        session(images(2))


@pytest.mark.parametrize(("count", "size"), [(1, 1), (5, 6), (33, 48), (256, 256), (257, 384), (513, 768)])
def test_batches_are_filled_up_to_few_sizes(count: int, size: int) -> None:
    assert module._filled_up(count) == size


def test_more_sizes_than_torch_keeps_by_itself_are_compiled(session: CompiledSession) -> None:
    with torch._dynamo.config.patch(recompile_limit=1):
        for count in (1, 2, 3):
            session.warm_up(count, PX, PX)
    assert len(session._ready) == 3


def test_pixels_with_fractions_are_not_taken_as_images(bundle: Bundle, spec: Architecture) -> None:
    preprocess = msgspec.structs.replace(bundle.model.preprocess, fractions=True)
    with closing(CompiledSession(build(spec), preprocess, (PX, PX), Compute(device="cpu"))) as session:
        assert session.facts.input_values == "pixels"


def test_compiled_code_is_kept_with_the_users_caches(monkeypatch: pytest.MonkeyPatch, session: CompiledSession) -> None:
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    module._keep_compiled_code()
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == "/caches/xception/torch"


@pytest.mark.slow
def test_torchs_own_compiler_gives_the_same_logits(
    session: CompiledSession, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "COMPILER", "inductor")
    session.warm_up(2, PX, PX)
    assert session._ready
    assert difference(session(images(2)), expected(bundle, images(2))) <= TOLERANCE


def test_torchs_limits_on_compiling_do_not_end_it(session: CompiledSession) -> None:
    """A program may open any number of sessions, whose networks torch counts together."""
    with torch._dynamo.config.patch(recompile_limit=1, accumulated_recompile_limit=1):
        for count in (1, 2, 3):
            session.warm_up(count, PX, PX)
    assert [shape.images for shape in session._ready] == [1, 2, 3]
