"""Contradictions among a vendor's files: their statements on a model's preprocessing, compared.

Files of one model are told by their names, as the vendors choose them: `keras_xception.yaml` is of the same model as
`keras-xception-vdsp_params.json`, and `timm_xception.yaml` of those of all `timm-xception...`. A file that names no
model, such as a README, speaks of all.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import msgspec

from xception import inputs
from xception.errors import InputError
from xception.interchange import vamc, vdsp
from xception.preprocess import CropSquash, Preprocess, ShorterSide, Squash

Numbers = tuple[float, ...]

NUMBER_LIST = r"\[([^\]]+)\]"
SHIFT_TOLERANCE, SCALE_TOLERANCE = 0.1, 2e-3
"""Changes by rounding to half precision: of a shift in 8-bit values, of a scale relative."""

CAFFE_BGR = (103.939, 116.779, 123.68)

MAX_INSPECTED_BYTES = 1 << 20
"""Larger files are not looked into; the vendors' have a few thousand bytes."""


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """The preprocessing that one file states; None where it states nothing.

    The network gets `(value - shift) / scale` of an 8-bit value.
    """

    file: str
    model: str
    resize: str | None
    crop: str | None
    shift: Numbers | None
    scale: Numbers | None
    note: str | None = None

    @property
    def normalization(self) -> str | None:
        if self.shift is None or self.scale is None:
            return None
        return f"(value - {_text(self.shift)}) / {_text(self.scale)}"


class Contradiction(msgspec.Struct, frozen=True, kw_only=True):
    """Files of one model that say different things; `values` to the files that say it."""

    model: str
    what: str
    values: dict[str, tuple[str, ...]]

    def sentence(self) -> str:
        """The contradiction in words, for the screen."""
        said = "; ".join(f"{value} in {', '.join(files)}" for value, files in self.values.items())
        return f"{len(self.values)} {self.what}s for {self.model or 'one model'}: {said}"


def statements(path: Path) -> list[Statement]:
    """The statements on preprocessing of a file, or of all files below a folder, where others are passed over.

    Raises:
        InputError: a file cannot be read, or is of a vendor's form and does not say all that it should.
        MissingExtra: there are YAML files, and PyYAML is not installed.
    """
    root = path if path.is_dir() else path.parent
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    found = [_statement(file, root) for file in files if file.suffix.lower() in STATEMENT_READERS]
    return [statement for statement in found if statement]


def contradictions(said: Iterable[Statement]) -> list[Contradiction]:
    """The differences between files of one model."""
    rows = list(said)
    groups = {name: [row for row in rows if not row.model or row.model.startswith(name)] for name in _models(rows)}
    return [found for name, group in groups.items() for what in PROPERTIES if (found := _compared(name, what, group))]


def _models(rows: Iterable[Statement]) -> list[str]:
    """The shortest names, which the others begin with; one without a name if there is no other."""
    names = sorted({row.model for row in rows if row.model}, key=len)
    return [name for i, name in enumerate(names) if not any(name.startswith(other) for other in names[:i])] or [""]


PROPERTIES: Mapping[str, Callable[[Statement], str | None]] = {
    "normalisation": lambda row: row.normalization,
    "resize": lambda row: row.resize,
    "crop": lambda row: row.crop,
}


def _compared(model: str, what: str, rows: Iterable[Statement]) -> Contradiction | None:
    groups: list[list[Statement]] = []
    for row in rows:
        if PROPERTIES[what](row) is None:
            continue
        group = next((group for group in groups if _same(what, group[0], row)), None)
        if group is None:
            groups.append([row])
        else:
            group.append(row)
    values = {str(PROPERTIES[what](group[0])): tuple(row.file for row in group) for group in groups}
    return Contradiction(model=model, what=what, values=values) if len(values) > 1 else None


def _same(what: str, first: Statement, second: Statement) -> bool:
    if what != "normalisation":
        return PROPERTIES[what](first) == PROPERTIES[what](second)
    shifts = zip(first.shift or (), second.shift or (), strict=False)
    scales = zip(first.scale or (), second.scale or (), strict=False)
    return all(abs(a - b) < SHIFT_TOLERANCE for a, b in shifts) and all(
        abs(a - b) <= SCALE_TOLERANCE * abs(b) for a, b in scales
    )


def _statement(file: Path, root: Path) -> Statement | None:
    name = file.relative_to(root).as_posix()
    try:
        text = inputs.read_utf8(file, inputs.DOCUMENT_LIMIT) if file.stat().st_size <= MAX_INSPECTED_BYTES else ""
        return STATEMENT_READERS[file.suffix.lower()](file, text, name)
    except UnicodeDecodeError:
        return None
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror}") from error


def _of_preprocess(name: str, preprocess: Preprocess) -> Statement:
    crop, shift = preprocess.crop, tuple(preprocess.divisor * value for value in preprocess.mean)
    return Statement(
        file=name,
        model=model_of(name),
        resize=_resize_text(preprocess),
        crop=f"{crop.width_px}x{crop.height_px} px" if crop else None,
        shift=shift,
        scale=tuple(preprocess.divisor * value for value in preprocess.std),
        note=_note(shift),
    )


def _note(shift: Numbers) -> str | None:
    if all(abs(a - b) < SHIFT_TOLERANCE for a, b in zip(shift, CAFFE_BGR, strict=False)):
        return "these are Caffe's means of blue, green and red, and the images are RGB"
    return None


def _resize_text(preprocess: Preprocess) -> str | None:
    resize = preprocess.resize
    if isinstance(resize, CropSquash):
        return f"largest centred part squashed to {resize.width_px}x{resize.height_px} px"
    if isinstance(resize, Squash):
        return f"squash to {resize.width_px}x{resize.height_px} px"
    return f"shorter side to {resize.px} px" if isinstance(resize, ShorterSide) else None


def _vdsp(file: Path, text: str, name: str) -> Statement | None:
    return _of_preprocess(name, vdsp.vdsp_preprocess(vdsp.read_params(file))) if '"OpType"' in text else None


def _vamc(file: Path, text: str, name: str) -> Statement | None:
    return _of_preprocess(name, vamc.vamc_preprocess(vamc.read_config(file))) if "process_ops" in text else None


def _aipp(file: Path, text: str, name: str) -> Statement | None:
    if "aipp_op" not in text:
        return None
    keys = dict(re.findall(r"(\w+)\s*:\s*([\w.+-]+)", text))
    channels = range(1 if keys.get("input_format") == "YUV400_U8" else 3)
    try:
        shift = tuple(float(keys.get(f"mean_chn_{c}", 0)) + float(keys.get(f"min_chn_{c}", 0)) for c in channels)
        scale = tuple(1 / float(keys[f"var_reci_chn_{c}"]) for c in channels)
    except (KeyError, ValueError, ZeroDivisionError) as error:
        raise InputError(f"{file} is no complete AIPP configuration: {error}") from error
    return Statement(file=name, model=model_of(name), resize=None, crop=None, shift=shift, scale=scale)


def _torchvision(file: Path, text: str, name: str) -> Statement | None:  # noqa: ARG001 - as the others
    """Transforms as torchvision spells them, in a script or a page; nothing is run."""
    normalize = re.search(rf"Normalize\(\s*mean\s*=\s*{NUMBER_LIST}\s*,\s*std\s*=\s*{NUMBER_LIST}", text)
    resize, crop = re.search(r"\bResize\((\d+)\)", text), re.search(r"\bCenterCrop\((\d+)\)", text)
    if normalize is None:
        return None
    try:
        mean, std = (tuple(255 * float(value) for value in row.split(",")) for row in normalize.groups())
    except ValueError:
        return None
    return Statement(
        file=name,
        model=model_of(name),
        resize=f"shorter side to {resize[1]} px" if resize else None,
        crop=f"{crop[1]}x{crop[1]} px" if crop else None,
        shift=mean,
        scale=std,
    )


StatementReader = Callable[[Path, str, str], Statement | None]

STATEMENT_READERS: Mapping[str, StatementReader] = {
    ".json": _vdsp,
    ".yaml": _vamc,
    ".yml": _vamc,
    ".cfg": _aipp,
    ".config": _aipp,
    ".md": _torchvision,
    ".py": _torchvision,
}
"""Readers by suffix, which return None for a file that is of another kind."""


def model_of(name: str) -> str:
    """The model that a file's name tells, or nothing."""
    stem = Path(name).stem.lower().replace("_", "-")
    stem = re.sub(r"-?(vdsp-params|aipp).*$", "", stem)
    return "" if re.match(r"(build|readme|vdsp|img-preprocess)", stem) else stem


def _text(values: Numbers) -> str:
    return f"({', '.join(f'{value:.4g}' for value in values)})"
