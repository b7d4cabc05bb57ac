"""The packages that a request needs, known before any of its work is done."""

from pathlib import Path

from xception.adoption.adopt import READING
from xception.backends.base import BACKENDS, default_backend
from xception.bundle import Bundle
from xception.forms import FORMS, Form
from xception.resolve import described_bundle, form_here, packages_to_get

CONVERTED: Form = "weights"
"""The form of the bundle that a checkpoint becomes."""


def packages_to_run(model: Bundle | str | Path, backend: str | None = None) -> tuple[str, ...]:
    """The packages that getting a model and running it need.

    Args:
        model: see `resolve_model`.
        backend: see `Engine.open`.

    Raises:
        XceptionError: there is no such model; see `look_up`.
    """
    described = described_bundle(model)
    adopted = None if described or isinstance(model, Bundle) else form_here(model)
    form = described.form if described else adopted or CONVERTED
    # `auto` takes what is installed; a wrong name, and a form that nothing runs, are told of where the model is opened.
    name = backend or (default_backend(form) if FORMS[form].backends else "")
    runtime = (BACKENDS[name].imported_as,) if name in BACKENDS else ()
    reading = READING[adopted] if adopted else ()
    return (*packages_to_get(model), *reading, *runtime)
