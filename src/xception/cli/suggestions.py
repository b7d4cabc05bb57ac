"""Suggestions for what nobody can run: the verb or option that was meant, and the way in which a verb is called."""

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Literal, get_args, get_origin

from cyclopts import (
    App,
    CoercionError,
    CycloptsError,
    MissingArgumentError,
    UnknownCommandError,
    UnknownOptionError,
    UnusedCliTokensError,
)

from xception.cli.help import usage
from xception.cli.output import command
from xception.data.files import is_image

MIN_LIKENESS_OF_NAMES = 0.6
"""Likeness, from 0 to 1, from which on a name is suggested for another one."""

EXAMPLE_WEIGHTS = "keras_xception.imagenet"
"""Published weights that proposed commands name where none are given."""

VERBS_ELSEWHERE: Mapping[str, str] = {
    "annotate": "predict",
    "bench": "benchmark",
    "calibrate": "quantize",
    "check": "data check",
    "classify": "predict",
    "describe": "info",
    "deploy": "serve",
    "diff": "compare",
    "download": "convert",
    "eval": "evaluate",
    "fetch": "convert",
    "finetune": "train",
    "fit": "train",
    "import": "convert",
    "infer": "predict",
    "inference": "predict",
    "inspect": "info",
    "int8": "quantize",
    "label": "predict",
    "latency": "benchmark",
    "analyze": "data check",
    "load": "convert",
    "ls": "list",
    "models": "list",
    "onnx": "export",
    "perf": "benchmark",
    "prepare": "data prepare",
    "profile": "benchmark",
    "ptq": "quantize",
    "pull": "convert",
    "retrain": "train",
    "run": "predict",
    "score": "evaluate",
    "server": "serve",
    "show": "info",
    "split": "data prepare",
    "stats": "data check",
    "speed": "benchmark",
    "summary": "info",
    "test": "evaluate",
    "time": "benchmark",
    "val": "evaluate",
    "validate": "evaluate",
    "zoo": "list",
}
"""Verbs by the names that similar tools have for them."""

OPTIONS_ELSEWHERE: Mapping[str, str] = {
    "amp": "precision bfloat16 | set compute.precision=bfloat16",
    "b": "batch | set batch_size=VALUE",
    "batch-size": "batch | set batch_size=VALUE",
    "batchsize": "batch | set batch_size=VALUE",
    "bf16": "precision bfloat16 | set compute.precision=bfloat16",
    "bs": "batch | set batch_size=VALUE",
    "calib": "calibration",
    "checkpoint": "from",
    "ckpt": "from",
    "conf": "threshold",
    "confidence": "threshold",
    "continue": "resume",
    "cpu": "device cpu",
    "cuda": "device cuda",
    "dest": "out",
    "destination": "out",
    "engine": "backend",
    "exist-ok": "overwrite",
    "f": "overwrite",
    "force": "overwrite",
    "format": "to | json",
    "fp16": "precision float16 | set compute.precision=float16",
    "gpu": "device cuda",
    "gpus": "device cuda",
    "h": "help",
    "half": "precision float16 | set compute.precision=float16",
    "host": "address",
    "ip": "address",
    "iterations": "repeats",
    "iters": "repeats",
    "j": "workers | readers",
    "jobs": "workers | readers",
    "k": "top",
    "learning-rate": "set optim.lr=VALUE",
    "limit": "images",
    "num-workers": "workers | readers",
    "o": "out",
    "opt": "set optim.name=VALUE",
    "optimizer": "set optim.name=VALUE",
    "output": "out",
    "output-dir": "out",
    "p": "port",
    "pretrained": "from",
    "provider": "backend",
    "runs": "repeats",
    "runtime": "backend",
    "save": "out",
    "save-dir": "out",
    "target": "to",
    "thresh": "threshold",
    "top-k": "top",
    "topk": "top",
    "v": "debug",
    "verbose": "debug",
    "wd": "set optim.weight_decay=VALUE",
    "weights": "from",
    "y": "overwrite",
}
"""Options by the names that similar tools have for them; of several, the first that the verb has."""

OPERANDS_ELSEWHERE: Mapping[str, str] = {
    "checkpoint": "MODEL",
    "ckpt": "MODEL",
    "d": "DATA",
    "dataset": "DATA",
    "i": "SOURCES",
    "image": "SOURCES",
    "images": "SOURCES",
    "img": "SOURCES",
    "input": "SOURCES",
    "m": "MODEL",
    "pretrained": "MODEL",
    "source": "SOURCES",
    "weights": "MODEL",
}
"""Operands by the names of the options that similar tools have in their place."""

VALUES_ELSEWHERE: Mapping[str, str] = {
    "bf16": "bfloat16",
    "float": "float32",
    "fp16": "float16",
    "fp32": "float32",
    "full": "float32",
    "half": "float16",
    "mixed": "bfloat16",
    "single": "float32",
}
"""Values of options by the names that similar tools have for them."""

KINDS_OF_VALUES = {int: "a whole number", float: "a number"}
"""Types of options in words."""

ON_ALL_VERBS = ("debug", "help")
"""Options of all verbs, which the program itself takes."""


def explained(error: CycloptsError, arguments: Sequence[str], verbs: Sequence[str]) -> str:
    """The sentence on a command that cannot be run; `arguments` are its own words, `verbs` all that there are."""
    match error:
        case UnknownCommandError(unused_tokens=[word, *_]):
            return no_verb(word, arguments, verbs)
        case UnknownOptionError() if error.app:
            written = (error.token.keyword or error.token.value).partition("=")[0]
            return _no_option(written, _verb(arguments, verbs), error.app)
        case MissingArgumentError(unused_tokens=[*rest]) if error.app and (wrong := _unknown(rest, error.app)):
            return _no_option(wrong, _verb(arguments, verbs), error.app)
        case MissingArgumentError() if error.app and error.argument and not error.tokens_so_far:
            return _incomplete(error, _verb(arguments, verbs), error.app)
        case UnusedCliTokensError(unused_tokens=[word, *_]) if error.app:
            verb = _verb(arguments, verbs)
            return f"{verb} has no place for {word!r}; {_called(verb, error.app)}"
        case CoercionError(token=token, target_type=wanted) if token and token.keyword:
            return _no_value(token.keyword, token.value, wanted) or " ".join(str(error).split())
    return " ".join(str(error).split())


def no_verb(word: str, arguments: Sequence[str], verbs: Sequence[str]) -> str:
    """The sentence on a word in the place of a verb: the verb that was meant, if it can be told, and all that exist."""
    if is_image(word):
        return f"{word} is an image, not a verb; to classify it: {command('predict', EXAMPLE_WEIGHTS, word)}"
    if Path(word).exists():
        return f"{word} is a path, not a verb; to see what it is: {command('info', word)}"
    given = " ".join(arguments[: arguments.index(word) + 1]) if word in arguments else word
    near = VERBS_ELSEWHERE.get(word.lower()) or _nearest_verb(given, arguments, verbs)
    if near:
        return (
            f"no verb is called {given!r}; did you mean {near}? To see how it is called: {command(*near.split(), '-h')}"
        )
    return f"no verb is called {given!r}; expected one of {', '.join(verbs)}"


def _nearest_verb(given: str, arguments: Sequence[str], verbs: Sequence[str]) -> str | None:
    """The verb that was meant by a word, in capitals or not, or by the first two of a command."""
    for words in (" ".join(arguments[:2]).lower(), given.lower().lstrip("-")):
        if words in verbs:
            return words
    return next(iter(get_close_matches(given.lower(), verbs, 1, MIN_LIKENESS_OF_NAMES)), None)


def _no_value(option: str, value: str, wanted: object) -> str:
    """The sentence on a value that an option cannot have; empty where there is more to say of it than its kind."""
    choices = (
        [choice for choice in get_args(wanted) if isinstance(choice, str)] if get_origin(wanted) is Literal else []
    )
    if not choices:
        kind = KINDS_OF_VALUES.get(wanted) if isinstance(wanted, type) else None
        return f"{option} is {value!r}; expected {kind}" if kind else ""
    usual = VALUES_ELSEWHERE.get(value.lower(), value.lower())
    near = [usual] if usual in choices else get_close_matches(usual, choices, 1, MIN_LIKENESS_OF_NAMES)
    return f"{option} is {value!r}; {f'did you mean {near[0]}? Expected' if near else 'expected'} {_one_of(choices)}"


def _one_of(names: Sequence[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last


def _verb(arguments: Sequence[str], verbs: Sequence[str]) -> str:
    """The verb that a command begins with."""
    return next((verb for verb in verbs if list(arguments[: len(verb.split())]) == verb.split()), "xception")


def _options(app: App) -> list[str]:
    return [name for argument in app.assemble_argument_collection() for name in argument.names if name[:2] == "--"]


def _unknown(rest: Sequence[str], app: App) -> str:
    """The first option among the words that were left over which a verb has not."""
    names = (word.partition("=")[0] for word in rest if word.startswith("-"))
    return next((name for name in names if name not in _options(app)), "")


def _no_option(written: str, verb: str, app: App) -> str:
    """The sentence on an option that a verb has not."""
    known = _options(app)
    arguments = app.assemble_argument_collection()
    operands = [argument.names[0].strip("*") for argument in arguments if argument.names[0][0] != "-"]
    name = written.lstrip("-").replace("_", "-").lower()
    operand = next((one for one in (name.upper(), OPERANDS_ELSEWHERE.get(name)) if one in operands), None)
    meant = next(_meant(name, known), None)
    if operand and f"--{name}" not in known and (name.upper() == operand or meant is None):
        return f"{verb} has no option {written}; {operand} stands without a name: {_called(verb, app)}"
    if meant is None:
        return f"{verb} has no option {written}; {command(*verb.split(), '--help')} shows all"
    return f"{verb} has no option {written}; did you mean {meant}?"


def _meant(name: str, known: Sequence[str]) -> Iterator[str]:
    """The options that may have been meant by a name without dashes, the likeliest first."""
    if f"--{name}" in known:
        yield f"--{name}"
    for way in filter(None, OPTIONS_ELSEWHERE.get(name, "").split(" | ")):
        if f"--{way.split()[0]}" in known or way in ON_ALL_VERBS:
            yield f"--{way}"
    if "--set" in known and (settings := _settings(name.replace("-", "_"))):
        yield settings
    everywhere = [f"--{option}" for option in ON_ALL_VERBS]
    yield from get_close_matches(f"--{name}", [*everywhere, *known], 1, MIN_LIKENESS_OF_NAMES)


def _settings(name: str) -> str:
    """The settings of a recipe of that name as a run of training takes them; none where training is not installed."""
    try:
        from xception.train.recipe import settings_like
    except ModuleNotFoundError:
        return ""
    return " or ".join(f"--set {setting}=VALUE" for setting in settings_like(name))


def _incomplete(error: MissingArgumentError, verb: str, app: App) -> str:
    """The sentence on an operand or an option that is missing, or on an option without its value."""
    name = error.keyword or (error.argument.name if error.argument else "")
    what = f"{name} of {verb} has no value" if error.keyword else f"{verb} needs {name}"
    return f"{what}; {_called(verb, app)}"


def _called(verb: str, app: App) -> str:
    return f"it is called as {usage(verb, app)}"
