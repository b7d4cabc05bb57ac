import numpy as np
import pytest

from xception.tasks import resampled_sets
from xception.tasks.resampled_sets import ResampledSets


def drawn(images: int, seed: int = 0) -> ResampledSets:
    rng = np.random.Generator(np.random.PCG64(seed))
    has = rng.random((images, 2)) < 0.5
    scores = np.clip(0.5 + 0.2 * (has - 0.5) + rng.normal(0, 0.2, (images, 2)), 0, 1)
    return ResampledSets(scores, has, scores >= 0.5)


def test_intervals_hold_the_figure_and_shrink_with_more_images() -> None:
    widths = []
    for images in (50, 5000):
        found = drawn(images)
        for interval in (found.mean_of("average_precision"), found.of_class("roc_auc", 1), found.averages("micro").f1):
            assert interval is not None
            assert interval.low < interval.value < interval.high
            widths.append(interval.high - interval.low)
    assert all(few > 5 * many for few, many in zip(widths[:3], widths[3:], strict=True))


def test_the_interval_of_f1_is_as_wide_as_the_spread_of_other_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    found = drawn(400).averages("macro").f1
    monkeypatch.setattr(resampled_sets, "MAX_RESAMPLES", 1)
    spread = np.quantile([drawn(400, seed).averages("macro").f1.value for seed in range(1, 60)], [0.025, 0.975])
    assert abs((found.high - found.low) / (spread[1] - spread[0]) - 1) < 0.4


def test_a_class_that_all_images_have_has_no_area() -> None:
    has = np.ones((9, 1), bool)
    found = ResampledSets(np.linspace(0, 1, 9)[:, None], has, has)
    assert found.mean_of("average_precision") is None
    assert found.of_class("roc_auc", 0) is None
    assert found.averages("macro").recall.value == 1
