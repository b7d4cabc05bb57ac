"""The top of a page: subject, conclusion, date, versions and command."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from xception.tasks.provenance import CommandRun, JudgedModel, ResultProvenance
from xception.version import __version__

NO_VERSIONS = frozenset({"cpu", "cores", "system"})
"""Facts on the machine among those of an environment; a page's end has them."""


@dataclass(frozen=True, kw_only=True)
class Card:
    """A headline figure in words: its label, the figure, and a note that qualifies it."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """The command behind a page, its time, and the versions of the packages that decide its figures."""

    versions: Mapping[str, str]
    date: str = ""
    """ISO 8601, in UTC; empty if unknown."""
    command: str = ""
    """The command as a shell takes it; empty where a program made the page."""

    @property
    def day_and_time(self) -> str:
        """The date for a reader, to the minute."""
        return f"{self.date[:10]} {self.date[11:16]} UTC"


@dataclass(frozen=True, kw_only=True)
class Heading:
    """The top of a page."""

    title: str
    conclusion: str
    """A sentence or two to decide by; they claim no more than the figures' intervals allow."""
    origin: Origin
    conditions: str = ""
    """The conditions under which the conclusion holds."""
    cards: tuple[Card, ...] = ()


def origin(run: CommandRun | None, environment: Mapping[str, str | int]) -> Origin:
    """The origin of what a command made, if one did, in an environment."""
    versions = {name: str(version) for name, version in environment.items() if name not in NO_VERSIONS}
    versions = {"xception": __version__} | versions
    if run is None:
        return Origin(versions=versions)
    return Origin(versions=versions, date=run.date, command=shlex.join(run.command))


def result_origin(provenance: ResultProvenance | None) -> Origin:
    """The origin of a result."""
    return origin(provenance.run, provenance.versions) if provenance else origin(None, {})


def model_names(provenance: ResultProvenance | None, bundles: Sequence[str]) -> tuple[str, ...]:
    """The names of a result's models, as their bundles state them, told apart where several have the same.

    Args:
        provenance: that of the result.
        bundles: the folders of the models, after which they are called where there is no provenance.
    """
    models = provenance.models if provenance else ()
    names = tuple(Path(bundle).name or bundle for bundle in bundles)
    if len(models) == len(bundles):
        names = tuple(model.name for model in models)
        if len(set(names)) < len(names):
            names = tuple(map(_with_facts, names, _differing(models)))
    if len(set(names)) < len(names):
        return tuple(f"the {place}, {name}" for place, name in zip(("first", "second"), names, strict=True))
    return names


def _differing(models: Sequence[JudgedModel]) -> Iterable[tuple[str, ...]]:
    """For each model, the facts of it in which the models differ."""
    facts = [(model.precision, model.form, model.backend) for model in models]
    columns = [column for column in zip(*facts, strict=True) if len(set(column)) > 1]
    return zip(*columns, strict=True) if columns else [()] * len(models)


def _with_facts(name: str, facts: Sequence[str]) -> str:
    return f"{name} ({', '.join(facts)})" if facts else name
