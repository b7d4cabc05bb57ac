"""A checkpoint in memory, and the collector of its tensors."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xception.byte_span import damaged
from xception.convert.readers.binary import LoadedFile
from xception.convert.readers.limits import MAX_EXPANSION, MAX_NAME_LENGTH, MAX_TENSORS
from xception.errors import InputError

MODEL_FOLDER = "model_folder"

TensorGroups = dict[str, dict[str, np.ndarray]]


@dataclass(frozen=True, kw_only=True, eq=False)
class CheckpointContents:
    """The content of a checkpoint as its reader returns it, without the framework that wrote it.

    Attributes:
        container: the kind of file: "torch_zip", "torch_legacy", "safetensors", "keras_h5" (a whole model),
            "keras_h5_weights" (before Keras 3), "keras_weights_h5" (Keras 3), "keras_zip", "paddle_pdparams",
            "mindspore_ckpt", "tf_bundle" or "model_folder".
        groups: sets of weights by name, at least one. Most files hold one, named "". A training state holds one for
            each network that it saved, such as "state_dict" and "state_dict_ema". Tensors come in file order, in the
            layout and type that the framework stored (only bfloat16 is widened, to float32), mostly as read-only
            views of the file.
        metadata: small facts of plain JSON types, each present only where the file tells it: "model_config",
            "keras_version", "backend" and "layer_names" from Keras; "values" such as the epoch from a training state;
            "left_out", what is there but no weight; "class_names", see `readers.class_names`; "classes_passed_over"
            from torch; "run_config" of what lies next to the file, see `readers.run_config`; "config" and further
            descriptions of a model folder, which `readers.folder` names; the header's own entries from safetensors.
    """

    container: str
    groups: TensorGroups
    metadata: dict[str, object]


@dataclass(frozen=True, kw_only=True, eq=False)
class Checkpoint(CheckpointContents):
    """A checkpoint that was opened, and all that is asked of its files later, so that none is opened again.

    Attributes:
        path: what was asked for: a file, the prefix or a shard of a TensorFlow checkpoint, or a model folder.
        file: the file with the weights, whose checksums are computed when they are first asked for. It is the index
            of a TensorFlow checkpoint, which holds a checksum of every tensor.
        more_files: further files with weights of a model folder.
    """

    path: Path
    file: LoadedFile
    more_files: tuple[LoadedFile, ...] = ()

    @property
    def config(self) -> Mapping[str, object]:
        """The network's description that lies in a model folder, empty for anything else."""
        config = self.metadata.get("config")
        return config if self.container == MODEL_FOLDER and isinstance(config, Mapping) else {}


class Gathering:
    """The tensors found so far, held against what a file of this size may bring.

    Different tensors may be views of the same bytes; without a bound on their sum, a small file could fill the memory
    when they are copied.
    """

    def __init__(self, file_bytes: int) -> None:
        self.groups: TensorGroups = {}
        self._count = 0
        self._bytes_left = file_bytes * MAX_EXPANSION

    def add(self, name: str, array: np.ndarray, group: str = "") -> None:
        """Take in a tensor.

        Raises:
            InputError: its name is taken or unfit to be shown, or there are too many tensors or bytes.
        """
        tensors = self.groups.setdefault(check_name(group), {})
        if check_name(name) in tensors:
            raise damaged(f"it holds two tensors named {name!r}")
        self._count += 1
        self._bytes_left -= array.nbytes
        if self._count > MAX_TENSORS:
            raise InputError(
                f"it holds more than {MAX_TENSORS} tensors; no network of this family does, so it is refused"
            )
        if self._bytes_left < 0:
            raise InputError(
                f"its tensors add up to more than {MAX_EXPANSION} times the file, which no framework writes"
            )
        tensors[name] = array


def check_name(name: str) -> str:
    """The same name, refused if it is overlong or has characters that would upset a terminal or an encoder."""
    if len(name) > MAX_NAME_LENGTH or not name.isprintable():
        raise damaged(f"it holds the unprintable or overlong name {name[:80]!r}")
    return name
