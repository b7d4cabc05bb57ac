"""`xception adopt`"""

from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from xception.adoption.adopt import READING, Adoption
from xception.adoption.adopt import adopt as adopt_graph
from xception.adoption.statements import GraphStatements, OutputValues
from xception.adoption.weights import with_weights
from xception.adoption.words import WORDS_HELP, preprocess_of
from xception.bundle import Bundle, Graph, ensure_free_for_bundle
from xception.cli.options import Json, Out, Overwrite
from xception.cli.output import class_list, command, print_facts, print_json, propose
from xception.convert.readers import graph_form
from xception.errors import InputError
from xception.extras import require_all
from xception.forms import Form, Layout
from xception.identity.words import input_words
from xception.labels import read_labels
from xception.metrics import Activation


def adopt(
    file: Path,
    /,
    *,
    out: Out,
    preprocess: Annotated[tuple[str, ...], Parameter(consume_multiple=True, help=WORDS_HELP)] = (),
    labels: Path | None = None,
    activation: Activation | None = None,
    output_values: OutputValues | None = None,
    layout: Layout | None = None,
    image_port: Annotated[str | None, Parameter(name="--input")] = None,
    answers: str | None = None,
    as_weights: bool = False,
    variant: str | None = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    r"""Make a bundle of an ONNX, OpenVINO or LiteRT file that somebody else exported.

    The file is inspected before anything in it runs. What it does not state is asked for.

    ```
    xception adopt model.onnx --preprocess keras_xception \
        --labels flowers.txt --out flowers
    xception adopt model.tflite --preprocess squash=224 range=0..255 \
        --out flowers
    ```

    Args:
        file: An ONNX, OpenVINO (.xml, with its .bin next to it) or LiteRT (.tflite) file.
        labels: Class names, one per line.
        activation: Function from logits to probabilities, where the graph has none inside.
        output_values: Meaning of the answers, where neither the graph nor its answers to test images show it.
        layout: Order of the input's axes, where its shape does not show it.
        image_port: Name of the input for images, where there are several inputs.
        answers: Name of the output with the answers, where there are several outputs.
        as_weights: Take the weights out of a graph that is one of the variants. The bundle can then be trained and
            exported, too.
        variant: Network to choose, where the file fits several.
    """
    ensure_free_for_bundle(out, overwrite=overwrite)
    form = _form(file)
    require_all(*(READING[form] if form else ()), *(("torch",) if as_weights else ()))
    statements = GraphStatements(
        preprocess=preprocess_of(preprocess),
        labels=read_labels(labels) if labels else None,
        activation=activation,
        output_values=output_values,
        layout=layout,
        input_name=image_port,
        output_name=answers,
    )
    adoption = adopt_graph(file, statements)
    if as_weights:
        adoption = with_weights(adoption, variant)
    _report(adoption.write(out, overwrite=overwrite), adoption, json=json)


def _form(file: Path) -> Form | None:
    if not file.exists():
        raise InputError(f"{file} does not exist; expected an ONNX, OpenVINO or LiteRT file")
    return graph_form(file)


def _report(bundle: Bundle, adoption: Adoption, *, json: bool) -> None:
    if json:
        print_json({"path": str(bundle.path), **msgspec.to_builtins(bundle.model)})
        return
    outline, model = adoption.outline, bundle.model
    facts = {
        "bundle": str(bundle.path),
        "graph": f"{outline.title}, {outline.precision}",
        **(_ports(model.graph) if model.graph else {}),
        **adoption.notes,
        **({"changed": "; ".join(outline.notes)} if outline.notes else {}),
    }
    facts["classes"] = f"{class_list(bundle.labels.names)}, {adoption.notes['classes']}"
    facts["images"] = input_words(model)
    print_facts(facts)
    propose(command("predict", bundle.path, "photo.jpg"), command("evaluate", bundle.path, "DATA"))


def _ports(graph: Graph) -> dict[str, str]:
    shape = " x ".join("any" if size is None else str(size) for size in graph.input_shape)
    return {
        "input": f"{graph.input_name}: {shape}, stored as {graph.input_layout.upper()}",
        "output": graph.output_name,
    }
