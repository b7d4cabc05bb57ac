import numpy as np
import pytest

from tests.support.samples import OneAtATime
from xception.backends.base import run_in_batches
from xception.metrics import log_softmax, softmax
from xception.pipeline.sessions import VIEWS, Averaged, Restricted


class Linear(OneAtATime):
    """Logits that are the sums of the columns of gray 2 x 3 images."""

    name, input_shape, num_classes, batch_size = "linear", (1, 2, 3), 3, 4
    closed = False

    def __call__(self, pixels: np.ndarray, /) -> np.ndarray:
        assert pixels.flags.c_contiguous
        return np.asarray(pixels.sum(axis=(1, 2)), np.float32)

    def close(self) -> None:
        self.closed = True


PIXELS = np.random.default_rng(0).normal(size=(5, 1, 2, 3)).astype(np.float32)


def test_a_restricted_session_gives_the_wanted_logits_in_the_wanted_order() -> None:
    session = Restricted(Linear(), (2, 0))
    assert session.facts.num_outputs == 2
    np.testing.assert_array_equal(session(PIXELS), Linear()(PIXELS)[:, [2, 0]])


def test_flipping_averages_the_probabilities_of_both_views() -> None:
    session = Averaged(Linear(), VIEWS["flip"])
    logits = Linear()(PIXELS)
    expected = (softmax(logits) + softmax(logits[:, ::-1])) / 2
    np.testing.assert_allclose(np.exp(session(PIXELS)), expected, rtol=1e-6)
    np.testing.assert_allclose(softmax(session(PIXELS)), expected, rtol=1e-6)
    assert session(PIXELS).dtype == np.float32


def test_one_view_leaves_the_logarithms_as_they_are() -> None:
    session = Averaged(Linear(), VIEWS["flip"][:1])
    np.testing.assert_allclose(session(PIXELS), log_softmax(Linear()(PIXELS)), rtol=1e-6)


def test_hopeless_classes_keep_finite_logits() -> None:
    assert np.isfinite(Averaged(Linear(), VIEWS["flip"])(PIXELS * 1e4)).all()


@pytest.mark.parametrize("session", [Restricted(Linear(), (0, 1, 2)), Averaged(Linear(), VIEWS["flip"])])
def test_facts_and_end_are_those_of_the_session_within(session: Restricted | Averaged) -> None:
    facts = session.facts
    assert (facts.name, facts.input_shape, facts.batch_size) == ("linear", (1, 2, 3), 4)
    assert run_in_batches(session, PIXELS, 8).shape == (5, 3)
    session.close()
    assert session._session.closed  # type: ignore[attr-defined]
