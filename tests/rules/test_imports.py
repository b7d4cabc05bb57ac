"""What importing costs and does; each in a fresh process, since this one has imported everything."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

from tests.rules.source import MODULES, ROOT
from tests.support.samples import HANG_S
from xception.bundle import Bundle

HEAVY = {
    *(
        "PIL",
        "cyclopts",
        "h5py",
        "httpx",
        "jinja2",
        "lightning_fabric",
        "matplotlib",
        "msgspec",
        "numpy",
        "onnx",
        "onnxruntime",
    ),
    *("openvino", "rich", "safetensors", "scipy", "sklearn", "tensorboard", "torch"),
}

WITHOUT_TORCH = """
import sys
class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "lightning_fabric"):
            raise ModuleNotFoundError("No module named 'torch'", name="torch")
sys.meta_path.insert(0, NoTorch())
"""

# What a module does on import, other than defining its names: anything it prints, starts, sets or writes.
WATCHED = """
import importlib, json, os, sys, threading
environment, threads = dict(os.environ), threading.active_count()
opened = []
def audit(event, args):
    writes = isinstance(args[1], str) and set(args[1]) & set("wax+") if event == "open" else False
    made_by_python = event == "open" and "__pycache__" in str(args[0])
    if (writes and not made_by_python) or event in ("os.mkdir", "os.rename", "socket.connect", "subprocess.Popen"):
        opened.append(f"{event} {args[0]}")
for heavy in sys.argv[2:]:
    importlib.import_module(heavy)
environment, threads = dict(os.environ), threading.active_count()
sys.addaudithook(audit)
importlib.import_module(sys.argv[1])
print(json.dumps({"files": opened, "threads": threading.active_count() - threads,
                  "environment": dict(os.environ) != environment}))
"""

TORCH_LAYERS = ("xception.models", "xception.train", "xception.backends.torch", "xception.export.torch")


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT.parent), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, env=environment, timeout=HANG_S
    )


def imported(code: str) -> set[str]:
    """The modules that `code` loads beyond those of a bare interpreter."""
    listing = "\nimport sys, json; print(json.dumps(sorted(sys.modules)))"
    bare, loaded = (python(text + listing) for text in ("", code))
    assert loaded.returncode == 0, loaded.stderr
    return set(json.loads(loaded.stdout)) - set(json.loads(bare.stdout))


def roots(modules: set[str]) -> set[str]:
    return {module.partition(".")[0] for module in modules}


def test_importing_the_package_loads_next_to_nothing() -> None:
    modules = imported("import xception")
    assert not roots(modules) & HEAVY
    assert len(modules) <= 12, sorted(modules)


def test_the_check_of_light_imports_can_fail() -> None:
    assert roots(imported("import xception.preprocess")) & HEAVY == {"PIL", "msgspec", "numpy"}


def test_the_architectures_load_no_array_library() -> None:
    assert not roots(imported("import xception.arch.variants, xception.arch.compute")) & HEAVY


RUNTIMES = {"h5py", "jinja2", "lightning_fabric", "matplotlib", "onnx", "onnxruntime", "openvino", "sklearn", "torch"}

# Imports modules one after another and prints, by module, which of the runtimes came with it.
BLAMED = """
import importlib, json, sys
runtimes, guilty = set(sys.argv[1].split(",")), {}
for name in sys.argv[2:]:
    importlib.import_module(name)
    new = runtimes & {module.partition(".")[0] for module in sys.modules}
    if new:
        guilty[name] = sorted(new)
        runtimes -= new
print(json.dumps(guilty))
"""


def blamed(*modules: str) -> dict[str, list[str]]:
    result = python(BLAMED, ",".join(RUNTIMES), *modules)
    assert result.returncode == 0, result.stderr
    return dict(json.loads(result.stdout))


def test_modules_outside_the_torch_layers_load_no_runtime() -> None:
    assert blamed(*(name for name in MODULES if not name.startswith(TORCH_LAYERS))) == {}


def test_a_module_that_loads_a_runtime_would_be_named() -> None:
    assert "torch" in blamed("xception.bundle", "xception.models.layers")["xception.models.layers"]


def test_the_tables_and_a_prediction_work_where_torch_cannot_be_imported(onnx_bundle: Bundle, tmp_path: Path) -> None:
    from tests.support.samples import encoded, picture

    (tmp_path / "a.png").write_bytes(encoded(picture()))
    code = f"""
import xception
from pathlib import Path
from xception.arch.compute import cost
from xception.arch.variants import VARIANTS
from xception.tasks.predict import predict
assert VARIANTS and all(cost(spec).parameters for spec in VARIANTS.values())
(outcome,) = predict({str(onnx_bundle.path)!r}, {str(tmp_path)!r})
print(outcome.top[0].label)
assert "torch" not in sys.modules
"""
    result = python(WITHOUT_TORCH + code)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() in onnx_bundle.labels.names


def test_the_ban_on_torch_holds() -> None:
    result = python(WITHOUT_TORCH + "import xception.models.network")
    assert "No module named 'torch'" in result.stderr


def test_importing_any_module_writes_nothing_starts_nothing_and_sets_nothing() -> None:
    with_heavy = [name for name in MODULES if name.startswith(TORCH_LAYERS)]
    light = [name for name in MODULES if name not in with_heavy]
    for code, heavy in (
        (light, ["numpy", "PIL.Image", "msgspec", "safetensors.numpy"]),
        (with_heavy, ["lightning_fabric"]),
    ):
        everything = f"import sys; sys.modules['all'] = object()\n{WATCHED}".replace(
            "importlib.import_module(sys.argv[1])", "[importlib.import_module(name) for name in sys.argv[1].split(',')]"
        )
        result = python(everything, ",".join(code), *heavy)
        assert result.returncode == 0, result.stderr
        assert json.loads(result.stdout) == {"files": [], "threads": 0, "environment": False}


def test_the_watch_over_imports_can_fail(tmp_path: Path) -> None:
    (tmp_path / "rude.py").write_text(
        "import os, threading\nos.environ['RUDE'] = '1'\nopen('/dev/null', 'w').close()\n"
        "threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
    )
    result = python(f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{WATCHED}", "rude")
    assert json.loads(result.stdout) == {"files": ["open /dev/null"], "threads": 1, "environment": True}


def layers() -> list[set[str]]:
    config = tomllib.loads((ROOT.parent.parent / "pyproject.toml").read_text())
    contract = next(row for row in config["tool"]["importlinter"]["contracts"] if row["type"] == "layers")
    assert contract["exhaustive"]
    return [{name.strip() for name in row.split("|")} for row in contract["layers"]]


def test_every_module_has_its_layer_and_every_layer_its_modules() -> None:
    placed = set().union(*layers())
    top = {name.split(".")[1] for name in MODULES if "." in name}
    assert placed == top


def test_a_module_without_a_layer_would_be_noticed() -> None:
    assert set().union(*layers()) != {name.split(".")[1] for name in [*MODULES, "xception.stray"] if "." in name}
