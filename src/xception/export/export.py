"""Export of a bundle: written, run by the real runtime, compared with its parent, and only then put in place."""

import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path

import msgspec

from xception.arguments import as_path
from xception.backends.base import Logits, Pixels
from xception.backends.graph_session import logits_of
from xception.backends.validity import check_files
from xception.bundle import Agreement, Bundle, Model, as_bundle, child, ensure_free_for_bundle, write_bundle
from xception.data.training_images import carried
from xception.errors import CheckFailed, UnknownName, UsageError
from xception.export.onnx import check_opset
from xception.export.program import GraphOptions, Program, program
from xception.export.regraph import compare_graphs, regraphed
from xception.export.request import ExportRequest, check_exportable, check_taken, graph_departures, is_finished_graph
from xception.export.verify import Runner, verify
from xception.forms import FORMS, Form, exportable
from xception.goldens import images_of, make_goldens
from xception.identity.identity import with_identity
from xception.tasks.agreement import data_pixels, probe_pixels
from xception.waits import counted

PROBES = 14
"""Images of each size to compare on without data."""


def write(request: ExportRequest) -> Path:
    """Write a bundle in another form, as `export_bundle`."""
    pixels = data_pixels(request.data, request.bundle.model.preprocess) if request.data is not None else None
    return export_bundle(
        request.bundle,
        request.to,
        request.out,
        options=request.options,
        pixels=pixels,
        upstream_python=request.upstream_python,
        overwrite=request.overwrite,
    ).path


def export_bundle(
    bundle: Bundle | str | Path,
    to: str,
    out: str | Path,
    *,
    options: GraphOptions | None = None,
    pixels: Pixels | None = None,
    upstream_python: str | None = None,
    overwrite: bool = False,
) -> Bundle:
    """Write the bundle's network in another form, and record how well its logits agree with the bundle's.

    Args:
        bundle: one with weights, or for some forms with a finished ONNX graph, int8 or adopted; or its folder.
        to: a form of `forms.exportable()`.
        out: path of the new bundle.
        options: changes of the graph from its default.
        pixels: images to compare on in addition to black, white, gray and noise, (N, C, H, W).
        upstream_python: a Python interpreter with the form's framework, if this environment does not have it.
        overwrite: replace a bundle that lies there.

    Raises:
        UnknownName: no such form, or none that is exported.
        UsageError: the form is not made of such a bundle, or the options do not fit it or the form.
        EnvironmentFault: the other interpreter or the framework in it does not work.
        CheckFailed: the runtime's logits differ; nothing is written.
    """
    form = next((form for form in exportable() if form == to), None)
    if form is None:
        raise UnknownName("form to export", to, exportable())
    bundle, out = as_bundle(bundle), as_path(out, "a new bundle")
    options = options or GraphOptions()
    check_exportable(bundle, graphs=("float32", "int8") if FORMS[form].int8 else ())
    check_taken(to, set(graph_departures(options)), FORMS[form].options)
    if "opset" in FORMS[form].options:
        check_opset(options.opset)
    _check_interpreter(form, upstream_python)
    ensure_free_for_bundle(out, overwrite=overwrite)
    with counted(f"writing the {to} graph"):
        model, files = _convert(bundle, form, options, upstream_python)
    with tempfile.TemporaryDirectory() as folder:
        trial = write_bundle(Path(folder) / "trial", model, bundle.labels, files)
        run = runner_of(trial, upstream_python)
        try:
            measured = _measured(trial, bundle, _probes(trial, pixels), run)
        except CheckFailed as error:
            raise CheckFailed(f"the {to} export of {bundle.path} is wrong, nothing was written: {error}") from error
        goldens = make_goldens(trial, images_of(bundle), run and _answers_of(trial, run))
    model = msgspec.structs.replace(model, agreement=measured)
    files = {**with_identity(files, model, bundle.labels), **carried(bundle), **goldens}
    return write_bundle(out, model, bundle.labels, files, overwrite=overwrite)


def _measured(trial: Bundle, parent: Bundle, probes: Sequence[Pixels], run: Runner | None) -> Agreement:
    return compare_graphs(trial, parent, probes) if is_finished_graph(parent) else verify(trial, parent, probes, run)


def _answers_of(trial: Bundle, run: Runner) -> Callable[[Pixels], Logits]:
    """The logits of a form that no backend opens."""

    def answers(pixels: Pixels) -> Logits:
        batch = pixels.repeat(trial.graph.input_shape[0] or len(pixels), axis=0)
        (values,) = run({"goldens": batch}).values()
        return logits_of(values[trial.graph.output_name], trial.graph, trial.model.activation)[: len(pixels)]

    return answers


def runner_of(exported: Bundle, upstream_python: str | None = None) -> Runner | None:
    """The function that runs a bundle whose form no backend opens; None for the others."""
    facts = FORMS[exported.model.form]
    if facts.runner is None:
        return None
    run = partial(facts.function(facts.runner), exported)
    return partial(run, upstream_python=upstream_python) if facts.needs_upstream_python else run


def file_contents(form: Form, made: Program, upstream_python: str | None) -> dict[str, bytes]:
    """The content of a form's files by name, valid by the rules of its format.

    Raises:
        UnknownName: the form is not exported.
        CheckFailed: the files break those rules.
        MissingExtra: a package that writes it is not installed.
    """
    facts = FORMS[form]
    if facts.writer is None:
        raise UnknownName("form to export", form, exportable())
    write_files = facts.function(facts.writer)
    files: dict[str, bytes] = write_files(made, upstream_python) if facts.needs_upstream_python else write_files(made)
    check_files(form, files)
    return files


def _tool_versions(form: Form, upstream_python: str | None) -> dict[str, str]:
    facts = FORMS[form]
    if facts.versions is None:
        return {tool: version(tool) for tool in facts.tools}
    versions: dict[str, str] = facts.function(facts.versions)(upstream_python)
    return versions


def _check_interpreter(form: Form, upstream_python: str | None) -> None:
    if FORMS[form].needs_upstream_python and upstream_python is None:
        raise UsageError(
            f"{form} needs an environment of its own; pass an interpreter that has the framework as --upstream-python"
        )
    if upstream_python is not None and not FORMS[form].needs_upstream_python:
        raise UsageError(f"{form} is written by this interpreter; pass no --upstream-python")


def _convert(
    bundle: Bundle, form: Form, options: GraphOptions, upstream_python: str | None
) -> tuple[Model, dict[str, bytes]]:
    if is_finished_graph(bundle):
        made_model, files = regraphed(bundle, form, options)
        check_files(form, files)
        return made_model, files
    model = bundle.model
    weights = bundle.tensors()
    made = program(
        model.network.architecture(), weights, model.preprocess, options, FORMS[form].layout, model.activation
    )
    files = file_contents(form, made, upstream_python)
    opset = {"opset": options.opset} if "opset" in FORMS[form].options else {}
    tools = _tool_versions(form, upstream_python)
    step = child(bundle, "export", tools, to=form, **{**opset, **graph_departures(options)})
    return msgspec.structs.replace(step, form=form, graph=made.graph, precision=options.precision), files


def _probes(exported: Bundle, pixels: Pixels | None) -> Sequence[Pixels]:
    """Arrays of images to compare on: those at hand and extremes, in a smaller size too where the graph takes any."""
    native = exported.model.preprocess.output_px or (exported.model.network.architecture().input_px,) * 2
    probes = [probe_pixels(exported, PROBES, native)] + ([] if pixels is None else [pixels])
    # Odd where the other is even, since faults of padding show at only one of the two.
    smaller = (native[0] - native[0] // 4, native[1] - native[1] // 4 + 1)
    is_free = exported.graph.input_shape[2] is None
    return [*probes, probe_pixels(exported, PROBES, smaller)] if is_free else probes
