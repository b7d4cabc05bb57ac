import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import xception
from tests.support.samples import encoded, labelled, picture
from xception.bundle import Bundle

INIT = Path(xception.__file__)

CALLER = """
import xception
from pathlib import Path
from xception import open_bundle, predict

bundle = open_bundle(Path("digits"))
engine = xception.Engine.open("digits", backend="onnxruntime")
reveal_type(bundle)
reveal_type(engine)
reveal_type(predict(bundle, ["3.png"]))
reveal_type(xception.evaluate(engine, xception.open_source("digits")))
model = xception.load("keras_xception.imagenet")
reveal_type(model)
reveal_type(model("photo.jpg"))
reveal_type(model("photo.jpg").label)
reveal_type(model.module())
"""

WRONG = """
import xception
from xception import open_bundle, predict

predict("no", such="argument")
open_bundle(1, 2, nonsense=3)
xception.evaluate("digits", 3)
xception.no_such_name
"""


def declared() -> dict[str, str]:
    """The names that type checkers see, with their modules."""
    (block,) = [node for node in ast.parse(INIT.read_text()).body if isinstance(node, ast.If)]
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    return {
        alias.asname or "": str(node.module) for node in imports for alias in node.names if alias.asname == alias.name
    }


def test_type_checkers_see_the_names_that_python_finds() -> None:
    assert declared() == xception._HOMES
    assert sorted(declared()) == xception.__all__


@pytest.mark.parametrize("name", xception.__all__)
def test_every_public_name_resolves_to_its_definition(name: str) -> None:
    assert getattr(xception, name) is getattr(importlib.import_module(xception._HOMES[name]), name)


@pytest.mark.parametrize("name", xception.__all__)
def test_every_public_name_says_what_it_is_for(name: str) -> None:
    thing = getattr(xception, name)
    assert name == "VARIANTS" or (thing.__doc__ and not thing.__doc__.startswith(f"{name}("))


def check_types(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """The verdict of mypy --strict on a caller, which sees the package as an installed one."""
    (folder / "caller.py").write_text(code)
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--cache-dir",
        str(INIT.parents[2] / ".mypy_cache"),
        "caller.py",
    ]
    # The package's own configuration says which third parties are without types.
    options = ["--config-file", str(INIT.parents[2] / "pyproject.toml")]
    environment = {"MYPYPATH": str(INIT.parents[1]), "PATH": "/usr/bin:/bin"}
    return subprocess.run([*command, *options], cwd=folder, env=environment, capture_output=True, text=True)


def test_a_caller_is_told_the_types_of_what_it_gets(tmp_path: Path) -> None:
    result = check_types(CALLER, tmp_path)
    assert result.returncode == 0, result.stdout
    revealed = [line.partition('type is "')[2].rstrip('"') for line in result.stdout.splitlines() if "Revealed" in line]
    assert revealed == [
        "xception.bundle.Bundle",
        "xception.pipeline.engine.Engine",
        "xception.tasks.predictions.Predictions",
        "xception.tasks.evaluation.Evaluation",
        "xception.classifier.ImageClassifier",
        "xception.tasks.predictions.Predictions",
        "str",
        "xception.models.network.Xception",
    ]


def test_a_caller_is_told_of_wrong_arguments_and_of_names_that_do_not_exist(tmp_path: Path) -> None:
    result = check_types(WRONG, tmp_path)
    assert result.returncode == 1
    wrong_lines = {int(line.split(":")[1]) for line in result.stdout.splitlines() if ": error:" in line}
    assert wrong_lines == {5, 6, 7, 8}


def test_wrong_types_are_refused_with_a_sentence_on_what_is_expected(onnx_bundle: Bundle) -> None:
    with xception.Engine.open(onnx_bundle) as engine:
        for wrong in (
            lambda: xception.evaluate("digits", "digits"),
            lambda: xception.evaluate(engine, "digits"),
            lambda: xception.compare(engine, onnx_bundle, labelled(1)),
            lambda: xception.benchmark(onnx_bundle, labelled(1)),
            lambda: xception.open_bundle(3),
            lambda: xception.export_bundle(None, "onnx", "out"),
            lambda: xception.quantize_bundle(onnx_bundle, labelled(1), b"out"),
            lambda: xception.convert_checkpoint(3),
        ):
            with pytest.raises(xception.UsageError, match=r"(has to be of type \w+, from|is named by a path, as str)"):
                wrong()


def test_every_path_may_be_a_string(onnx_bundle: Bundle, weights_bundle: Bundle, tmp_path: Path) -> None:
    assert xception.open_bundle(str(onnx_bundle.path)).model == onnx_bundle.model
    exported = xception.export_bundle(str(weights_bundle.path), "onnx", str(tmp_path / "onnx"))
    assert exported.path == tmp_path / "onnx"
    (tmp_path / "a.png").write_bytes(encoded(picture()))
    assert len(xception.image_files(str(tmp_path / "a.png"))) == 1
    checkpoint = str(weights_bundle.path / "weights.safetensors")
    with pytest.raises(xception.XceptionError, match="cannot be converted"):
        xception.convert_checkpoint(checkpoint)


def test_everything_that_is_handed_out_prints_on_one_readable_line(onnx_bundle: Bundle) -> None:
    source = labelled(7)
    with xception.Engine.open(onnx_bundle) as engine:
        things = {
            "Bundle('": onnx_bundle,
            "Items('pictures': 7 images, 7 classes)": source,
            "Engine('small' in onnxruntime, float32, batches of 8, ": engine,
            "Evaluation(": xception.evaluate(engine, source),
            "Comparison(": xception.compare(engine, engine, source),
            "Benchmark(": xception.benchmark(engine, source, batches=(1,), images=1, warmup=0, repeats=1),
            "Prediction('000': ": next(engine.predict(source)),
        }
    for start, thing in things.items():
        assert repr(thing).startswith(start)
        assert "\n" not in repr(thing)
        assert len(repr(thing)) < 300


def test_editors_complete_all_public_names() -> None:
    import jedi

    code = "import xception\nxception."
    assert set(xception.__all__) <= {found.name for found in jedi.Script(code).complete(2, 9)}


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'xception' has no attribute 'evalute'"):
        _ = xception.evalute  # type: ignore[attr-defined]


def test_public_names_are_found_by_dir() -> None:
    assert set(xception.__all__) <= set(dir(xception))


def test_the_version_is_a_version() -> None:
    assert [part.isdigit() for part in xception.__version__.split(".")] == [True] * 3
