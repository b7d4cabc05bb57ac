"""The promises of every row of `FORMS` that is exported, each as a check that fails where a form breaks it.

`test_contract` holds all forms to them, and a form that is only a stub to show that they can fail.
"""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest

from tests.export.planted import with_another_bias
from xception.backends.base import BACKENDS, Pixels, default_backend, open_session, run_in_batches
from xception.backends.graph_session import logits_of
from xception.backends.graphs import describe_graph
from xception.bundle import GOLDENS, Bundle, open_bundle, write_bundle
from xception.errors import CheckFailed, InputError, UsageError, XceptionError
from xception.export.export import export_bundle, runner_of
from xception.export.mismatch import expected_values, first_mismatch
from xception.export.program import GraphOptions
from xception.export.targets import EXPORT_TARGETS, targets_sentence
from xception.export.verify import TOLERANCES, VERIFIED_BATCH_SIZES, run_session
from xception.forms import FORMS, Form, FormFacts
from xception.identity.card import CARD
from xception.quantize.observation import observe
from xception.quantize.qdq import Scheme, quantize_graph
from xception.tasks.agreement import probe_pixels
from xception.weights import read_weights, weights_bytes

ROOT = Path(__file__).parents[2]
PYTHON = "an interpreter"
"""Stands for another interpreter; the tests run its scripts in this process."""

VALUES: Mapping[str, Any] = {
    "fixed_batch": 2,
    "free_size": True,
    "precision": "float16",
    "input_name": "face",
    "output_name": "mood",
    "image_input": True,
    "probabilities": True,
    "top_k": 2,
    "class_maps": True,
    "opset": 13,
}
"""A departure for each option of a graph."""

TOLERANCE = 1e-5
"""Largest difference over the largest logit, as exports may differ in float32."""


@dataclass(frozen=True)
class Case:
    """A form, its export of a bundle of weights, and a place to write to."""

    form: Form
    parent: Bundle
    exported: Bundle
    onnx_graph: onnx.ModelProto
    """The parent as a float32 ONNX graph."""
    place: Path

    @property
    def facts(self) -> FormFacts:
        return FORMS[self.form]

    def export(self, name: str, parent: Bundle | None = None, **options: Any) -> Bundle:
        return export_to_form(parent or self.parent, self.form, self.place / name, **options)


def export_to_form(parent: Bundle, form: Form, out: Path, **options: Any) -> Bundle:
    python = PYTHON if FORMS[form].needs_upstream_python else None
    return export_bundle(parent, form, out, options=GraphOptions(**options), upstream_python=python)


def logits(bundle: Bundle, pixels: Pixels, parent: Bundle) -> np.ndarray:
    """Logits of an export, by its own runtime."""
    runner = runner_of(bundle, PYTHON if FORMS[bundle.model.form].needs_upstream_python else None)
    batches = {"some": pixels}
    outputs = runner(batches) if runner else run_session(bundle, parent, batches)
    return logits_of(outputs["some"][bundle.graph.output_name], bundle.graph, bundle.model.activation)


def parent_logits(parent: Bundle, pixels: Pixels) -> np.ndarray:
    return run_in_batches(open_session(parent), pixels, len(pixels))


def relative(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def writes_its_files(case: Case) -> None:
    assert set(case.exported.model.files) == {CARD, GOLDENS, "labels.txt", *case.facts.files}


def opens_again_whole(case: Case) -> None:
    assert open_bundle(case.exported.path, verify=True) == case.exported
    assert case.exported.model.form == case.form


def a_changed_byte_is_noticed(case: Case) -> None:
    copied = {name: (case.exported.path / name).read_bytes() for name in case.facts.files}
    spoilt = write_bundle(case.place / "spoilt", case.exported.model, case.exported.labels, copied)
    spoilt.main_file.write_bytes(copied[case.facts.files[0]][:-1] + b"?")
    with pytest.raises(InputError, match=r"is not the file that the bundle was written with"):
        open_bundle(spoilt.path, verify=True)


def remembers_how_it_was_made(case: Case) -> None:
    (step,) = case.exported.model.lineage
    assert (step.verb, step.parent, step.settings["to"]) == ("export", case.parent.model.digest, case.form)
    assert set(step.tools) >= set(case.facts.tools)
    assert step.tools
    measured = case.exported.model.agreement
    assert measured
    assert measured.relative_diff <= TOLERANCES["float32"]
    assert measured.batch_sizes == VERIFIED_BATCH_SIZES


def computes_its_parents_logits(case: Case) -> None:
    for count in VERIFIED_BATCH_SIZES:
        pixels = probe_pixels(case.parent, count + 3)[3:]
        assert relative(logits(case.exported, pixels, case.parent), parent_logits(case.parent, pixels)) <= TOLERANCE


def tells_pictures_apart(case: Case) -> None:
    one, other = (probe_pixels(case.parent, 8)[start : start + 4] for start in (0, 4))
    assert relative(logits(case.exported, one, case.parent), parent_logits(case.parent, other)) > 100 * TOLERANCE


def another_network_is_refused(case: Case) -> None:
    with pytest.MonkeyPatch.context() as patch:
        with_another_bias(patch)
        with pytest.raises(CheckFailed, match="nothing was written"):
            case.export("wrong")
    assert not (case.place / "wrong").exists()


def a_broken_file_is_refused(case: Case) -> None:
    files = dict.fromkeys(case.facts.files, b"broken")
    broken = write_bundle(case.place / "broken", case.exported.model, case.exported.labels, files)
    with pytest.raises(XceptionError, match=case.facts.files[0]):
        logits(broken, probe_pixels(case.parent, 2), case.parent)


SLOW_OPTIONS = [("pt2", name) for name in sorted(FORMS["pt2"].options) if name != "image_input"]
"""Exports for which torch traces the network anew, and for a free size solves equations for ten seconds;
`test_contract` has them among the slow tests."""


def takes_its_options(case: Case) -> None:
    for name in sorted(case.facts.options):
        if (case.form, name) not in SLOW_OPTIONS:
            takes_option(case, name)


def takes_option(case: Case, name: str) -> None:
    exported = case.export(name, **{name: VALUES[name]})
    assert exported.model.agreement
    assert exported.model.agreement.relative_diff <= TOLERANCES[exported.model.precision]
    assert exported.model.lineage[-1].settings[name] == VALUES[name]


def refuses_other_options(case: Case) -> None:
    for name in VALUES.keys() - case.facts.options:
        with pytest.raises(UsageError, match=f"{case.form} has no --{name.replace('_', '-')}; it takes "):
            case.export("refused", **{name: VALUES[name]})


def shows_the_values_inside(case: Case) -> None:
    """Where the row says so: the first wrong one is found, and none in a faithful export."""
    pixels = probe_pixels(case.parent, 2)
    if case.facts.taps is None:
        assert first_mismatch(case.exported, case.parent, pixels, TOLERANCE) is None
        return
    assert first_mismatch(case.exported, case.parent, pixels, TOLERANCE) is None
    taps = case.facts.function(case.facts.taps)(case.exported.main_file)
    assert len(set(taps.names) & set(expected_values(case.parent, pixels))) > 5
    tensors = read_weights(case.parent.main_file)
    changed = {**tensors, "stem.1.conv.weight": -tensors["stem.1.conv.weight"]}
    other = write_bundle(
        case.place / "other", case.parent.model, case.parent.labels, {"weights.safetensors": weights_bytes(changed)}
    )
    found = first_mismatch(case.exported, other, pixels, TOLERANCE)
    assert found
    assert found.node == "stem.1.conv"


def its_file_is_described(case: Case) -> None:
    """Where the row says so: inputs and outputs are those that the bundle states."""
    if case.facts.ports is None:
        return
    graph, described = case.exported.graph, describe_graph(case.exported.main_file)
    assert described.format == case.form
    assert described.inputs
    assert described.outputs
    assert [port.name for port in described.inputs] == [graph.input_name]
    assert [port.name for port in described.outputs] == list(graph.outputs)


def is_quantized(case: Case) -> None:
    """Where the row says so: an int8 graph becomes a bundle that a backend opens, close to the float one."""
    if case.facts.int8 is None:
        return
    pixels = probe_pixels(case.parent, 6)
    scheme = Scheme(rounds_logits=case.facts.int8.rounds_logits, weight_bits=8)
    graph = quantize_graph(case.onnx_graph, observe(case.onnx_graph, [pixels]).ranges("max"), scheme)
    files = case.facts.function(case.facts.int8.writer)(graph)
    assert set(files) == set(case.facts.files)
    layout = msgspec.structs.replace(case.exported.graph, input_layout=case.facts.layout)
    model = msgspec.structs.replace(case.exported.model, precision="int8", graph=layout)
    bundle = write_bundle(case.place / "int8", model, case.parent.labels, files)
    found = run_in_batches(open_session(bundle), pixels, len(pixels))
    assert TOLERANCE < relative(found, parent_logits(case.parent, pixels)) < 0.5
    heaviest = case.facts.files[-1]
    assert len(files[heaviest]) < 0.9 * (case.exported.path / heaviest).stat().st_size


def someone_runs_it(case: Case) -> None:
    assert bool(case.facts.backends) != bool(case.facts.runner)
    assert all(case.form in BACKENDS[name].forms for name in case.facts.backends)
    if case.facts.backends:
        assert default_backend(case.form) == case.facts.backends[0]
    else:
        with pytest.raises(UsageError, match=f"no backend runs the form {case.form!r}"):
            default_backend(case.form)


def its_tools_are_in_its_extra(case: Case) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    if case.facts.needs_upstream_python:
        assert (case.facts.extra, bool(case.facts.versions)) == (None, True)
        return
    assert case.facts.extra
    required = " ".join(extras[case.facts.extra])
    more = [extras[name] for name in extras if f"xception[{name}]" in required]
    packages = required + " ".join(package for row in more for package in row)
    assert all(tool in packages for tool in case.facts.tools)


def it_is_shown_to_people(case: Case) -> None:
    matrix = (ROOT / "docs/reference/export-matrix.md").read_text(encoding="utf-8")
    assert EXPORT_TARGETS[case.form].kind == "bundle"
    assert case.form in targets_sentence()
    assert case.facts.title in matrix.split("\n## ")[1]
    int8 = (ROOT / "docs/explanation/int8.md").read_text(encoding="utf-8")
    assert case.facts.int8 is None or f"`{case.form}`" in int8


CHECKS: tuple[Callable[[Case], None], ...] = (
    writes_its_files,
    opens_again_whole,
    a_changed_byte_is_noticed,
    remembers_how_it_was_made,
    computes_its_parents_logits,
    tells_pictures_apart,
    another_network_is_refused,
    a_broken_file_is_refused,
    takes_its_options,
    refuses_other_options,
    shows_the_values_inside,
    its_file_is_described,
    is_quantized,
    someone_runs_it,
    its_tools_are_in_its_extra,
    it_is_shown_to_people,
)
