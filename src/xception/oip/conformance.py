"""A check of any server of the Open Inference Protocol v2 over HTTP, rule by rule.

It asks nothing that a client would not ask, and needs nothing but the server's URL and the name of a model.
"""

from collections.abc import Iterator
from typing import Literal

import msgspec

from xception.errors import XceptionError
from xception.oip.rules import RULES
from xception.oip.subject import NotAsked, RuleBroken, Subject

RuleVerdict = Literal["kept", "broken", "not asked"]


class RuleFinding(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict on one rule."""

    rule: str
    words: str
    verdict: RuleVerdict
    reason: str = ""
    """The words for what was found, or for why nothing was asked."""


def check_server(subject: Subject) -> Iterator[RuleFinding]:
    """The verdict on every rule, each as soon as it is there.

    Raises:
        EnvironmentFault: no server answers at the URL.
    """
    subject.client.ask("GET", "/v2/health/live")
    for name in RULES:
        verdict, reason = _verdict(name, subject)
        yield RuleFinding(rule=name, words=RULES[name].words, verdict=verdict, reason=reason)


def _verdict(name: str, subject: Subject) -> tuple[RuleVerdict, str]:
    try:
        RULES[name].check(subject)
    except NotAsked as error:
        return "not asked", str(error)
    except (RuleBroken, XceptionError) as error:
        return "broken", str(error)
    # A server may answer with a document of any shape.
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        return "broken", f"the answer is of another shape: {type(error).__name__} {error}"
    return "kept", ""
