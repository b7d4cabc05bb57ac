"""Every refusal ends with options, and every option that it states works."""

import re
import shlex

import pytest

from tests.convert.training_files import REFUSED, diagnosed, opened
from xception.convert.remedies import patterns_of
from xception.convert.selection import WeightsChoice, choose_match
from xception.errors import InputError


def choices(remedy: str) -> list[WeightsChoice]:
    """What a user types who follows a remedy, one for each way that it names."""
    named = re.findall(r"--head (\S+)( --hidden-activation relu)?", remedy)
    heads = [WeightsChoice(head=name, hidden_activation="relu" if hidden else None) for name, hidden in named]
    words = shlex.split(remedy.rpartition("pass ")[2])
    new_head = 3 if "--new-head" in words else None
    left_out = words[words.index("--leave-out") + 1 :] if "--leave-out" in words else []
    return [*heads, *([WeightsChoice(new_head=new_head, leave_out=left_out)] if new_head or left_out else [])]


@pytest.mark.parametrize("name", REFUSED)
def test_every_option_that_a_refusal_states_works(name: str) -> None:
    values = REFUSED[name]
    given = opened(values)
    with pytest.raises(InputError) as refusal:
        choose_match(given, WeightsChoice())
    offered = choices(str(refusal.value))
    assert offered
    assert str(refusal.value).endswith(diagnosed(values).remedy)
    for choice in offered:
        match = choose_match(given, choice)
        assert match.is_full or match.is_headless
        assert match.classifier is None or match.classifier.is_called(str(choice.head))
        assert (match.spec.head.hidden_features is not None) == (choice.hidden_activation is not None)


def test_patterns_fit_what_is_to_be_left_out_and_nothing_else() -> None:
    kept = ["conv1.weight", "block1.rep.0.weight", "net/a"]
    assert patterns_of(["conv1.extra.a", "conv1.extra.b", "mixer.x", "mixer.y", "net/b", "alone"], kept) == (
        "conv1.extra.*",
        "mixer.*",
        "net/b",
        "alone",
    )
