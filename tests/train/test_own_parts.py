import importlib
import linecache
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from xception.train.callbacks import Callback
from xception.train.own_parts import OwnParts, description, digest_with

MODULE = """
from dataclasses import dataclass
import torch

GAMMA = 2.0
UNUSED = 1

def focus(log_p):
    return (1 - log_p.exp()) ** GAMMA

def focal(logits, targets):
    log_p = torch.log_softmax(logits, 1)
    return -(focus(log_p) * log_p).gather(1, targets[:, None]).mean()

def unrelated():
    return 1

def made(power):
    def loss(logits, targets):
        return focal(logits, targets) * power
    return loss

@dataclass
class Scaled:
    factor: float = 1.0
    def __call__(self, logits, targets):
        return self.factor * focal(logits, targets)
"""


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Writes a module of own parts anew and imports it."""
    monkeypatch.syspath_prepend(tmp_path)
    names = iter(range(100))

    def write(text: str) -> ModuleType:
        name = f"mine{next(names)}"
        (tmp_path / f"{name}.py").write_text(text)
        importlib.invalidate_caches()
        module = importlib.import_module(name)
        del sys.modules[name]
        module.__name__ = "mine"
        for value in vars(module).values():
            if getattr(value, "__module__", None) == name:
                value.__module__ = "mine"
        return module

    return write


def test_a_part_is_known_by_name_and_by_source(written: Callable[[str], ModuleType]) -> None:
    first, again = (description(written(MODULE).focal) for _ in range(2))
    assert first == again
    assert first.startswith("mine.focal@")


@pytest.mark.parametrize(
    ("old", "new"),
    [("log_softmax(logits, 1)", "log_softmax(logits, -1)"), ("(1 - log_p.exp())", "(2 - log_p.exp())"), ("2.0", "3.0")],
    ids=["its source", "a function that it calls", "a constant that it uses"],
)
def test_a_change_of_what_a_part_does_is_noticed(old: str, new: str, written: Callable[[str], ModuleType]) -> None:
    assert description(written(MODULE).focal) != description(written(MODULE.replace(old, new)).focal)


def test_a_change_elsewhere_in_the_file_is_none(written: Callable[[str], ModuleType]) -> None:
    other = MODULE.replace("return 1\n", "return 2\n").replace("UNUSED = 1", "UNUSED = 7")
    assert description(written(MODULE).focal) == description(written(other).focal)


def test_values_that_a_part_was_made_with_are_told_apart(written: Callable[[str], ModuleType]) -> None:
    module = written(MODULE)
    made = [
        module.Scaled(1.0),
        module.Scaled(2.0),
        module.made(1),
        module.made(2),
        partial(module.focal, power=1),
        partial(module.focal, power=2),
    ]
    assert len({description(part) for part in made}) == len(made)
    assert description(module.Scaled(2.0)) == description(module.Scaled(2.0))


def test_an_objects_values_are_told_apart_however_it_keeps_them(written: Callable[[str], ModuleType]) -> None:
    module = written(MODULE.replace("@dataclass\n", "@dataclass(slots=True)\n"))
    made = [
        module.Scaled(1.0),
        module.Scaled(2.0),
        module.Scaled(1.0).__call__,
        module.Scaled(2.0).__call__,
        module.Scaled(np.float32(2.0)),
        module.Scaled(Path("a")),
        module.Scaled(Path("b")),
    ]
    assert len({description(part) for part in made}) == len(made)
    first, second = ({0, 8}, {8, 0})
    assert [*first] != [*second]
    assert description(partial(module.focal, among=first)) == description(partial(module.focal, among=second))


@pytest.fixture
def imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], ModuleType]:
    """Writes a module anew and imports it as programs do."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(name: str, text: str) -> ModuleType:
        (tmp_path / f"{name}.py").write_text(text)
        monkeypatch.delitem(sys.modules, name, raising=False)
        importlib.invalidate_caches()
        linecache.clearcache()
        return importlib.import_module(name)

    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return write


def test_a_change_in_another_own_module_or_far_down_is_noticed(imported: Callable[[str, str], ModuleType]) -> None:
    chain = "\n".join(f"def f{index}(x):\n    return f{index + 1}(x)\n" for index in range(8))
    found = []
    for body in ("return x", "return x", "return 2 * x"):
        imported("far", f"def away(x):\n    {body}\n\ndef unused():\n    return {len(found)}\n")
        near = imported("near", f"import far\n\n{chain}\ndef f8(x):\n    return far.away(x)\n")
        found.append(description(near.f0))
    assert found[0] == found[1] != found[2]


def test_a_change_of_what_a_property_or_a_static_method_uses_is_noticed(
    imported: Callable[[str, str], ModuleType],
) -> None:
    methods = "    @property\n    def a(self):\n        return A\n    @staticmethod\n    def b():\n        return B\n"
    texts = [f"A, B = {a}, {b}\nclass Kept:\n{methods}" for a, b in ((1, 1), (2, 1), (1, 2), (1, 1))]
    found = [description(imported("kept", text).Kept()) for text in texts]
    assert len(set(found)) == 3
    assert found[0] == found[3]


def test_a_part_of_an_installed_package_is_known_by_its_name() -> None:
    assert description(torch.optim.NAdam) == "torch.optim.nadam.NAdam"


class Watches(Callback):
    only_watches = True


class Acts(Callback):
    pass


def test_callbacks_that_only_watch_are_no_part_of_what_decides_the_weights() -> None:
    assert OwnParts(callbacks=(Watches(),)).descriptions() == {}
    (acting,) = OwnParts(callbacks=(Watches(), Acts())).descriptions().values()
    assert acting.startswith("tests.train.test_own_parts.Acts@")


def test_own_parts_change_the_digest_of_a_recipe() -> None:
    assert digest_with("abc", {}) == "abc"
    assert digest_with("abc", {"loss": "x@1"}) != digest_with("abc", {"loss": "x@2"})
