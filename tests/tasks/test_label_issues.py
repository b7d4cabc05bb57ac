import numpy as np
import pytest

from xception.tasks import label_issues as module
from xception.tasks.kept_logits import AllLogits
from xception.tasks.label_issues import label_issues

NAMES = ("ant", "bee", "cat", "dog")
WRONG = (7, 30, 31)


def answers(images: int = 80) -> AllLogits:
    """A model that is right and rather sure, on images of the first three classes, of which a few have other labels."""
    rng = np.random.default_rng(0)
    right = np.arange(images) % 3
    logits = rng.normal(0, 0.3, (images, 4)) + 4 * np.eye(4)[right]
    targets = np.where(np.isin(np.arange(images), WRONG), (right + 1) % 3, right)
    return AllLogits(np.arange(images) + 100, targets, logits.astype(np.float32))


def test_planted_labels_are_found_and_no_others() -> None:
    found = label_issues(answers(), NAMES, "softmax", lambda place: f"image {place}")
    assert found.count == len(WRONG)
    assert {issue.path for issue in found.candidates} == {f"image {place + 100}" for place in WRONG}
    for issue in found.candidates:
        place = int(issue.path.split()[1]) - 100
        assert (issue.suggested, issue.label) == (NAMES[place % 3], NAMES[(place + 1) % 3])
        assert issue.label_probability < 0.2 < 0.7 < issue.probability
    probabilities = [issue.label_probability for issue in found.candidates]
    assert probabilities == sorted(probabilities)


def test_more_than_the_limit_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_LABEL_ISSUES", 2)
    found = label_issues(answers(), NAMES, "softmax", str)
    assert (found.count, len(found.candidates)) == (3, 2)
