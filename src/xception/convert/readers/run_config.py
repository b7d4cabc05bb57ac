"""The configuration of a training that lies next to its checkpoint, as the source's tools leave it there.

A folder may hold the configurations of other things, so that each is told by its own first keys, and only those of the
checkpoint's own framework are looked at.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xception.errors import InputError
from xception.extras import require
from xception.inputs import Limit, read_part, read_utf8

YAML_LIMIT = Limit(1 << 20, "a training's configuration")
MAX_VALUES = 20_000
"""Values of a configuration, its repeated parts counted each time."""

FIRST_BYTES = 1 << 16
"""Bytes by which a configuration is told from other files."""

ENDINGS = (".yaml", ".yml")


@dataclass(frozen=True, kw_only=True)
class ConfigKind:
    """One kind of configuration.

    Attributes:
        framework: its name for people.
        containers: the checkpoints that it may lie next to.
        keys: every one of these is a key at the beginning of a line.
        names: the only names of such files; any if empty.
    """

    framework: str
    containers: tuple[str, ...]
    keys: tuple[str, ...]
    names: tuple[str, ...] = ()


CONFIG_KINDS: tuple[ConfigKind, ...] = (
    ConfigKind(framework="PaddleClas", containers=("paddle_pdparams",), keys=("Arch",)),
    ConfigKind(framework="PaddleClas", containers=("paddle_pdparams",), keys=("PreProcess",)),
    ConfigKind(framework="MindCV", containers=("mindspore_ckpt",), keys=("model", "epoch_size")),
    ConfigKind(
        framework="timm",
        containers=("torch_zip", "torch_legacy", "safetensors"),
        keys=("model", "gp"),
        names=("args.yaml",),
    ),
)


def run_config(path: Path, container: str) -> dict[str, Any] | None:
    """The configuration next to a checkpoint: its "framework", the "file" and its "values"; None if there is none.

    Of several, the one that is called like the checkpoint is taken.

    Raises:
        InputError: it cannot be read, or several lie there of which none is called like the checkpoint.
        MissingExtra: PyYAML is not installed.
    """
    kinds = [kind for kind in CONFIG_KINDS if container in kind.containers]
    found = list(_candidates(path.parent, kinds)) if kinds else []
    own = [row for row in found if row[0].stem == path.stem] or found
    if len(own) > 1:
        names = ", ".join(file.name for file, _ in own[:4])
        raise InputError(
            f"{path} lies next to several configurations, {names}; name the one that it was trained with "
            f"{path.stem}.yaml, or move the others away"
        )
    return {"framework": own[0][1].framework, "file": own[0][0].name, "values": _values(own[0][0])} if own else None


def _candidates(folder: Path, kinds: list[ConfigKind]) -> Iterator[tuple[Path, ConfigKind]]:
    for file in sorted(folder.iterdir()):
        fitting = [kind for kind in kinds if file.name in kind.names or not kind.names]
        if file.suffix.lower() not in ENDINGS or not file.is_file() or not fitting:
            continue
        text = read_part(file, 0, FIRST_BYTES).decode("utf-8", "replace")
        kind = next((kind for kind in fitting if all(_has_key(text, key) for key in kind.keys)), None)
        if kind:
            yield file, kind


def _has_key(text: str, key: str) -> bool:
    return re.search(rf"^{key}\s*:", text, re.MULTILINE) is not None


def _values(file: Path) -> Mapping[str, Any]:
    yaml = require("yaml", "vendors")
    try:
        values = _copied(yaml.safe_load(read_utf8(file, YAML_LIMIT)), [MAX_VALUES])
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise InputError(f"{file} is no YAML file of plain values: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise InputError(f"{file} holds no keys and values; expected those of a training's configuration")
    return values


def _copied(value: Any, left: list[int]) -> Any:
    """The same values without parts that stand in several places, which a few lines may repeat without end."""
    left[0] -= 1
    if left[0] < 0:
        raise ValueError(f"it has more than {MAX_VALUES} values")
    if isinstance(value, dict):
        return {str(key): _copied(part, left) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_copied(part, left) for part in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)
