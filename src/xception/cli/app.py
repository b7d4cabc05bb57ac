"""The `xception` command: finds the verb, and turns errors into one sentence and an exit code."""

import logging
import os
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

from cyclopts import App, Group, Parameter

from xception.cli.failures import UNWRITABLE, ending_of
from xception.cli.help import Formatter, usage
from xception.cli.origin import COMMAND
from xception.cli.output import prepare_streams, say
from xception.cli.progress import sign_of_life
from xception.data import inventory
from xception.errors import EnvironmentFault
from xception.version import __version__


class Verb(NamedTuple):
    """The function behind a verb, whose signature is its usage and which is imported when it is called."""

    function: str
    help: str


COMMANDS = {
    "demo": Verb("xception.cli.demo:demo", "Run the whole life cycle on real images and write a report."),
    "list": Verb("xception.cli.list:list_variants", "Show all variants and published weights."),
    "info": Verb("xception.cli.info:info", "Say what a variant, published weights, a bundle or any file is."),
    "predict": Verb("xception.cli.predict:predict", "Classify images."),
    "convert": Verb("xception.cli.convert:convert", "Make a bundle of any checkpoint."),
    "adopt": Verb("xception.cli.adopt:adopt", "Make a bundle of a graph that somebody else exported."),
    "data check": Verb("xception.cli.data_check:data_check", "Find broken files, copies, leaks and wrong labels."),
    "data prepare": Verb("xception.cli.data_prepare:data_prepare", "Sort ImageNet, or draw images to calibrate on."),
    "data parity": Verb("xception.cli.data_parity:data_parity", "Measure what another preprocessing does to a model."),
    "data inputs": Verb("xception.cli.data_inputs:data_inputs", "Write a data set as input files of vendors' tools."),
    "train": Verb("xception.cli.train:train", "Train a network from a recipe, or continue a killed run."),
    "evaluate": Verb("xception.cli.evaluate:evaluate", "Measure accuracy on labelled images."),
    "compare": Verb("xception.cli.compare:compare", "Say on the same images whether one model is as good as another."),
    "export": Verb("xception.cli.export:export", "Write a bundle in another form, with proof of its logits."),
    "quantize": Verb("xception.cli.quantize:quantize", "Make an int8 model that keeps its accuracy, or refuse."),
    "benchmark": Verb("xception.cli.benchmark:benchmark", "Measure how fast a bundle runs here."),
    "serve": Verb("xception.cli.serve:serve", "Answer over HTTP, for programs and for photos."),
    "serve-key": Verb("xception.cli.serve_key:serve_key", "Make a key for those who may ask a server."),
    "oip-check": Verb("xception.cli.oip_check:oip_check", "Check a server of the Open Inference Protocol."),
    "prove": Verb("xception.cli.prove:prove", "Say whether something is the model that a bundle holds."),
    "sign": Verb("xception.cli.sign:sign", "Sign a bundle with a key."),
    "verify": Verb("xception.cli.verify:verify_bundle", "Say whether the owner of a key has signed a bundle as it is."),
}
"""All verbs in the order in which a model's life comes to them."""

LIFE_STAGES = {
    "First steps": "demo list info predict",
    "Models from elsewhere": "convert adopt",
    "Training and accuracy": "data train evaluate compare",
    "Deployment": "export quantize benchmark serve serve-key oip-check",
    "Proof": "prove sign verify",
}
"""Headings in the list of verbs, each with the first words of its verbs."""

GROUPS = {"data": "Prepare data sets, and find what is wrong with them."}
"""Verbs of two words by their first; the second word's function is in `COMMANDS` under both."""

HELP = (
    "Every published Xception, exactly: convert, train, evaluate, export, quantize, benchmark and run it, with proof."
)
EPILOGUE = (
    "Exit codes: 0 done, 1 a check failed, 2 usage, 3 input or environment, 4 an unforeseen error. `--debug` shows "
    "tracebacks."
)
DEBUG = "--debug"
PIXEL_LIMIT = "XCEPTION_MAX_MEGAPIXELS"
"""Environment variable of `xception.data.decode.LIMIT_VARIABLE`, which is imported only where it is set."""


def build_app(tokens: Sequence[str] = ()) -> App:
    """The command line with all its verbs; the help of the one that `tokens` begin with is its function's docstring."""
    app = App(
        name="xception",
        help=HELP,
        version=__version__,
        version_flags=("--version", "-V"),
        help_formatter=Formatter(),
        help_format="markdown",
        group_commands=Group("Commands", sort_key=len(LIFE_STAGES)),
        help_epilogue=EPILOGUE,
        default_parameter=Parameter(negative=()),
        result_action="return_value",
        suppress_keyboard_interrupt=False,  # `run` has a sentence for it
    )
    app.register_install_completion_command(help="Let the shell complete verbs and options.", sort_key=len(COMMANDS))
    order = list(dict.fromkeys(name.split()[0] for name in COMMANDS))
    stages = [(Group(title, sort_key=place), words.split()) for place, (title, words) in enumerate(LIFE_STAGES.items())]
    stage_of = {word: stage for stage, words in stages for word in words}
    groups = {
        name: App(name=name, help=text, group=stage_of[name], sort_key=order.index(name))
        for name, text in GROUPS.items()
    }
    for group in groups.values():
        app.command(group)
    for name, verb in COMMANDS.items():
        words = name.split()
        # A help text given here takes the docstring's place; without one, the list of verbs would import them all.
        is_asked_for = list(tokens[: len(words)]) == words
        text = {} if is_asked_for else {"help": verb.help}
        parent = groups.get(words[0], app)
        options: dict[str, Any] = {"sort_key": order.index(words[0]), **text}
        if parent is app:
            options["group"] = stage_of[name]
        parent.command(verb.function, name=words[-1], **options)
        if is_asked_for and "--help" in tokens:
            parent[words[-1]].usage = f"Usage: {usage(name, parent[words[-1]])}\n"
    return app


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit with its code."""
    sys.exit(run(list(sys.argv[1:] if arguments is None else arguments)))


def run(arguments: list[str]) -> int:
    """Run one command; returns its exit code, see `EPILOGUE`."""
    debug = DEBUG in arguments
    tokens = _in_options([argument for argument in arguments if argument != DEBUG])
    others = logging.StreamHandler()
    others.addFilter(lambda record: record.name not in REMARKED)
    level = logging.DEBUG if debug else logging.ERROR
    logging.basicConfig(level=level, format="%(levelname)s %(name)s: %(message)s", handlers=[others])
    if not debug:
        warnings.simplefilter("ignore")
    try:
        prepare_streams()
        COMMAND.set(tuple(tokens))
        _heed_pixel_limit()
        _check_folder()
        with _remarks_shown(), _sign_of_life(tokens):
            build_app(tokens)(tokens, exit_on_error=False, print_error=False)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of our output left, as `head` does; there is no reader for a message.
        _discard_output()
    except (Exception, KeyboardInterrupt) as error:
        if isinstance(error, OSError) and error.filename is None and error.errno in UNWRITABLE:
            _discard_output()
        if debug:
            traceback.print_exc()
        ending = ending_of(error, tokens, tuple(COMMANDS))
        say(f"xception: {ending.sentence}")
        return ending.code
    return 0


REMARKED = (inventory.LOG.name, "xception.backends")
"""Loggers whose warnings are for the person at the terminal; the second one is that of runtimes, which are imported
only where one is used."""


@contextmanager
def _remarks_shown() -> Iterator[None]:
    """Show the warnings of `REMARKED` for the time of a block; a program that calls `run` keeps its own handlers."""
    remarks = Remarks()
    logs = [logging.getLogger(name) for name in REMARKED]
    levels = [log.level for log in logs]
    for log in logs:
        log.addHandler(remarks)
        log.setLevel(logging.WARNING)
    try:
        yield
    finally:
        for log, level in zip(logs, levels, strict=True):
            log.removeHandler(remarks)
            log.setLevel(level)


def _in_options(tokens: list[str]) -> list[str]:
    """The words `help` and `version` as the options that they stand for, and the question for help behind the verb."""
    tokens = ["--help" if word == "-h" else word for word in tokens]
    match tokens:
        case ["help" | "--help", *verb]:
            return [*verb, "--help"]
        case ["version"]:
            return ["--version"]
    return tokens


def _sign_of_life(tokens: Sequence[str]) -> AbstractContextManager[None]:
    """A sign of life for the verb, but for a server, which waits by design and says what it does."""
    verb = next((name for name in COMMANDS if list(tokens[: len(name.split())]) == name.split()), None)
    return nullcontext() if verb in (None, "serve") else sign_of_life(f"{verb}: at work")


class Remarks(logging.Handler):
    """Warnings as lines for the person at the terminal, without a time or a name."""

    def emit(self, record: logging.LogRecord) -> None:
        say(f"WARNING: {record.getMessage()}")


def _heed_pixel_limit() -> None:
    """Decode larger images than usual where the environment says so."""
    megapixels = os.environ.get(PIXEL_LIMIT)
    if megapixels is not None:
        from xception.data.decode import allow_pixels

        allow_pixels(megapixels)


def _check_folder() -> None:
    """Refuse to work in a folder that is gone, on which libraries end the process, or fail with other words.

    Raises:
        EnvironmentFault: it is gone, or may not be entered.
    """
    try:
        Path.cwd()
    except OSError as error:
        raise EnvironmentFault(
            f"the folder that this command was started in is gone ({error.strerror}); change to another one"
        ) from error


def _discard_output() -> None:
    """Keep what was not written from being tried again when the process ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
