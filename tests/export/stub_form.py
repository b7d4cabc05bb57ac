"""A form that promises everything and does nothing."""

from typing import Any

from xception.forms import FormFacts, Int8


def stub_files(*_: Any) -> dict[str, bytes]:
    return {"model.stub": b"stub"}


def run_stub(*_: Any) -> None:
    raise NotImplementedError


def stub_ports(*_: Any) -> tuple[tuple[()], tuple[()]]:
    return (), ()


class StubTaps:
    names = ()

    def __call__(self, *_: Any) -> dict[str, Any]:
        return {}


def open_stub_taps(*_: Any) -> StubTaps:
    return StubTaps()


STUB = FormFacts(
    title="Stub",
    files=("model.stub",),
    extra="onnx",
    tools=("numpy",),
    writer="tests.export.stub_form:stub_files",
    options=frozenset({"probabilities"}),
    runner="tests.export.stub_form:run_stub",
    taps="tests.export.stub_form:open_stub_taps",
    ports="tests.export.stub_form:stub_ports",
    int8=Int8(writer="tests.export.stub_form:stub_files", options=frozenset()),
)
