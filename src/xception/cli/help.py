"""The help on the screen: options in groups, defaults where they say something, and usage with every operand."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from cyclopts import App
from cyclopts.help import DefaultFormatter, HelpEntry, HelpPanel

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions

OFF = frozenset(("False", "()"))
"""Defaults that go without saying, as cyclopts writes them: a flag is off, a list is empty."""

MIN_GROUPED = 10
"""Options from which on a verb shows them in groups."""

UNGROUPED = "Options"
"""The group of the options that stand in none of `TOPICS`."""

TOPICS = {
    "Data and images": (
        "--data --fold --calibration --validation --calibration-images --images --preprocess --max-failed "
        "--strict-images --class-map --subset-classes --real --unlabelled"
    ),
    "Network": (
        "--variant --weights --group --ema --leave-out --head --new-head --in-channels --stem --labels --activation"
    ),
    "Results of other tools": "--results --vendor --truth --datalist --text --scores",
    "Graph": (
        "--opset --fixed-batch --free-size --input-name --output-name --image-input --probabilities --top-k "
        "--class-maps"
    ),
    "Quantization": "--signed --integer-ports --weight-bits --strict --no-speed --sensitivity",
    "Comparison with the source": "--certify --upstream-python --upstream-code",
    "Resuming": "--resume --rerun --keep --save-every",
    "Gates": "--min-top1 --min-map",
    "Many images": (
        "--images-per-shard --table --shard --finish --ray --actors --cpus-per-actor --gpus-per-actor --stall-after"
    ),
    "Access": "--address --port --grpc-port --host-name --api-keys --open --tls-certificate --tls-key --tls-clients",
    "Limits": (
        "--timeout-s --max-body-mb --max-bodies-mb --max-images --max-pixels --max-queued --max-header-kb "
        "--header-timeout-s --body-timeout-s --max-connections --shutdown-delay-s --drain-s"
    ),
    "Output": (
        "--out --overwrite --json --csv --html --predictions --logits --result-json --result-log --scales --keep-failed"
    ),
    "Speed": "--workers --backend --readers --processes --instances --threads --device --precision --pixels --batch",
}
"""Groups of options, by their heading, in the order in which they are shown behind `UNGROUPED`."""

TOPIC_OF = {option: topic for topic, options in TOPICS.items() for option in options.split()}


class Option(Protocol):
    """An option as cyclopts shows it, or as it takes it."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names, the one that is shown first."""

    @property
    def required(self) -> bool:
        """True if the verb needs it."""


AnyOption = TypeVar("AnyOption", bound=Option)


class Formatter(DefaultFormatter):
    """Cyclopts' own panels, with the options of a long verb in groups and without the defaults of flags and lists."""

    def __call__(self, console: "Console", options: "ConsoleOptions", panel: HelpPanel) -> None:
        entries = [entry.copy(default=None) if entry.default in OFF else entry for entry in panel.entries]
        for title, group in grouped(entries, str(panel.title)):
            super().__call__(console, options, panel.copy(entries=group, title=title))


def grouped(entries: Sequence[HelpEntry], title: str) -> Iterator[tuple[str, list[HelpEntry]]]:
    """The entries of a panel under the heading of each group; operands and verbs stay together."""
    if all(entry.names and entry.names[0].startswith("--") for entry in entries):
        yield from by_topic(entries)
    else:
        yield title, list(entries)


def by_topic(options: Iterable[AnyOption]) -> Iterator[tuple[str, list[AnyOption]]]:
    """The options of a verb under the heading of each group, required ones first; few options stay together."""
    ordered = sorted(options, key=lambda option: not option.required)
    if len(ordered) < MIN_GROUPED:
        topics = [UNGROUPED] * len(ordered)
    else:
        topics = [UNGROUPED if option.required else topic_of(option.names[0]) for option in ordered]
    for topic in (UNGROUPED, *TOPICS):
        if group := [option for option, of_it in zip(ordered, topics, strict=True) if of_it == topic]:
            yield topic, group


def topic_of(option: str) -> str:
    """The heading of the group in which an option is shown."""
    return TOPIC_OF.get(option, UNGROUPED)


def usage(verb: str, app: App) -> str:
    """The line that says how a verb is called, with all its operands and the options that it needs."""
    arguments = [argument for argument in app.assemble_argument_collection() if argument.names[0] != "*"]
    operands = [_operand(argument) for argument in arguments if not argument.names[0].startswith("-")]
    options = [argument for argument in arguments if argument.names[0].startswith("-")]
    needed = [
        f"{argument.names[0]} {argument.names[0].strip('-').upper()}" for argument in options if argument.required
    ]
    more = ["[OPTIONS]"] if len(options) > len(needed) else []
    return " ".join(("xception", verb, *operands, *needed, *more))


def _operand(argument: Any) -> str:
    name = str(argument.names[0])
    several = "..." if argument.field_info.kind is argument.field_info.VAR_POSITIONAL else ""
    return f"{name}{several}" if argument.required else f"[{name}{several}]"
