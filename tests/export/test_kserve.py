"""The files for KServe satisfy its published schemas, start the server as it is, and name the bundle."""

import copy
import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.export.requests import export_to
from xception.bundle import Bundle, open_bundle
from xception.cli.app import build_app, run
from xception.errors import CheckFailed, InputError, UsageError
from xception.export import kserve
from xception.export.kserve import CPUS, Memory, measured_memory, waiting_query
from xception.serve.limits import DEFAULT_LIMITS, MIB
from xception.serve.measures import Measures

SCHEMAS = json.loads((Path(__file__).parent / "kserve_schemas.json").read_text("utf-8"))
URI = "s3://models/digits"

Document = dict[str, Any]


@pytest.fixture(scope="module")
def memory(onnx_bundle: Bundle) -> Memory:
    return measured_memory(onnx_bundle)


@pytest.fixture
def measured(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kserve, "measured_memory", lambda _: memory)


@pytest.fixture
def out(onnx_bundle: Bundle, measured: None, tmp_path: Path) -> Path:
    return export_to(onnx_bundle, "kserve", tmp_path / "digits", storage_uri=URI)


def documents(out: Path) -> dict[str, Document]:
    found = [yaml.safe_load((out / name).read_text("utf-8")) for name in ("runtime.yaml", "service.yaml")]
    return {document["kind"]: document for document in found}


def strict(schema: Any) -> Any:
    """A schema that refuses fields that it does not name, as `kubectl apply --validate=strict` does."""
    if isinstance(schema, list):
        return [strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: strict(part) for name, part in schema.items()}
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
        found["additionalProperties"] = False
    return found


VALIDATORS = {
    kind: jsonschema.Draft202012Validator(strict(SCHEMAS[kind])) for kind in ("ServingRuntime", "InferenceService")
}


def check(document: Document) -> None:
    """Refuse a document that a cluster would refuse.

    Raises:
        jsonschema.ValidationError: it does not satisfy its published schema.
    """
    VALIDATORS[document["kind"]].validate(document)
    for value in document["metadata"]["labels"].values():
        if not re.fullmatch(r"[A-Za-z0-9][\w.-]{0,62}", value):
            raise jsonschema.ValidationError(f"{value!r} is no label")


def leaves(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all fields that the schemas name: those of `metadata` and of mappings are anybody's."""
    if path in (("metadata",), ("spec", "annotations")) or "requests" in path or "limits" in path:
        return
    fields = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for name, value in fields:
        if isinstance(node, dict):
            yield (*path, name)
        yield from leaves(value, (*path, name))


def with_field(document: Document, path: tuple[Any, ...], change: Callable[[Document, Any], None]) -> Document:
    changed = copy.deepcopy(document)
    holder: Any = changed
    for name in path[:-1]:
        holder = holder[name]
    change(holder, path[-1])
    return changed


def misspell(holder: Document, name: str) -> None:
    holder[f"{name}z"] = holder.pop(name)


def mistype(holder: Document, name: str) -> None:
    holder[name] = [[holder[name]]]


def test_the_documents_satisfy_the_published_schemas(out: Path) -> None:
    found = documents(out)
    assert set(found) == {"ServingRuntime", "InferenceService"}
    for document in found.values():
        check(document)


@pytest.mark.parametrize("change", [misspell, mistype])
def test_every_field_that_is_changed_is_noticed(change: Callable[[Document, Any], None], out: Path) -> None:
    for document in documents(out).values():
        paths = [path for path in leaves(document) if path != ("kind",)]
        assert len(paths) > 20
        for path in paths:
            with pytest.raises(jsonschema.ValidationError):
                check(with_field(document, path, change))


def test_every_file_names_the_bundle_and_the_folder_holds_it(out: Path, onnx_bundle: Bundle) -> None:
    digest = onnx_bundle.model.digest
    for document in documents(out).values():
        assert document["metadata"]["annotations"]["xception-bundle-digest"] == digest
        assert document["metadata"]["labels"] == {"xception-bundle-version": digest[:12]}
    assert open_bundle(out / "bundle", verify=True).model.digest == digest


def test_the_container_starts_the_server_as_it_is_with_this_bundle_only(out: Path, onnx_bundle: Bundle) -> None:
    (line,) = re.findall(r"^CMD (\[.*\])$", (out / "Dockerfile").read_text("utf-8"), re.MULTILINE)
    found = documents(out)
    command = kserve.command_of(found["ServingRuntime"], found["InferenceService"], "digits")
    assert command == json.loads(line)
    _, bound, _ = build_app(["serve"]).parse_args(["serve", *command], exit_on_error=False, print_error=False)
    bound.arguments["listening"].check()
    assert bound.arguments["models"] == ("digits=/mnt/models",)
    assert bound.arguments["digest"] == (onnx_bundle.model.digest,)


def test_the_container_may_do_nothing_but_compute(out: Path) -> None:
    (container,) = documents(out)["ServingRuntime"]["spec"]["containers"]
    security = container["securityContext"]
    assert (security["runAsNonRoot"], security["readOnlyRootFilesystem"]) == (True, True)
    assert (security["allowPrivilegeEscalation"], security["capabilities"]) == (False, {"drop": ["ALL"]})


def test_the_cluster_asks_for_readiness_and_waits_for_the_answers_that_are_due(out: Path) -> None:
    found = documents(out)
    (container,) = found["ServingRuntime"]["spec"]["containers"]
    paths = {name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "readiness", "liveness")}
    assert paths == {
        "startup": "/v2/health/ready",
        "readiness": "/v2/health/ready",
        "liveness": "/v2/health/live",
    }
    delay_s = int(container["args"][container["args"].index("--shutdown-delay-s") + 1])
    probe = container["readinessProbe"]
    assert delay_s > probe["periodSeconds"] * probe["failureThreshold"] + probe["timeoutSeconds"]
    grace_s = found["InferenceService"]["spec"]["predictor"]["terminationGracePeriodSeconds"]
    assert grace_s > delay_s + DEFAULT_LIMITS.drain_s


def test_the_limit_of_memory_is_what_the_server_says_it_may_take(memory: Memory, out: Path) -> None:
    requests = DEFAULT_LIMITS.memory_bytes(CPUS)
    assert memory.most - memory.loaded == requests
    assert memory.loaded > 64 * MIB
    (container,) = documents(out)["ServingRuntime"]["spec"]["containers"]
    sizes = {kind: int(container["resources"][kind]["memory"].removesuffix("Mi")) for kind in ("requests", "limits")}
    assert 0 <= sizes["limits"] * MIB - memory.most < 64 * MIB
    assert 0 <= sizes["requests"] * MIB - memory.loaded < 64 * MIB


def test_copies_follow_a_figure_that_the_server_gives(out: Path) -> None:
    (metric,) = documents(out)["InferenceService"]["spec"]["predictor"]["autoScaling"]["metrics"]
    query = metric["external"]["metric"]["query"]
    names = set(re.findall(r"xception_\w+", query))
    figures = Measures({})
    assert names == {"xception_queue_seconds_sum", "xception_queue_seconds_count"}
    assert "# TYPE xception_queue_seconds histogram" in figures.text().decode()
    assert query == waiting_query("digits")
    assert 'model="digits"' in query


def test_an_image_and_a_place_of_ones_own_are_used(onnx_bundle: Bundle, measured: None, tmp_path: Path) -> None:
    parts = {"storage_uri": "pvc://claim/digits", "image": "example/server:1", "prometheus": "http://prometheus:9090"}
    out = export_to(onnx_bundle, "kserve", tmp_path / "digits", **parts)
    found = documents(out)
    assert found["ServingRuntime"]["spec"]["containers"][0]["image"] == "example/server:1"
    predictor = found["InferenceService"]["spec"]["predictor"]
    assert predictor["model"]["storageUri"] == "pvc://claim/digits"
    assert predictor["autoScaling"]["metrics"][0]["external"]["metric"]["serverAddress"] == "http://prometheus:9090"


@pytest.mark.parametrize("name", ["Digits", "1digits", "digits-", "di_gits", "d" * 41])
def test_a_name_that_no_service_may_have_is_refused(name: str, onnx_bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the service would be called"):
        export_to(onnx_bundle, "kserve", tmp_path / name, storage_uri=URI)
    assert not list(tmp_path.iterdir())


def test_a_place_that_is_none_is_refused(onnx_bundle: Bundle, tmp_path: Path) -> None:
    for uri in (None, "models/digits"):
        with pytest.raises(UsageError, match="expected the place of the bundle"):
            export_to(onnx_bundle, "kserve", tmp_path / "digits", storage_uri=uri)
    with pytest.raises(UsageError, match="triton has no --storage-uri"):
        export_to(onnx_bundle, "triton", tmp_path / "digits", storage_uri=URI)


def test_only_an_earlier_export_is_replaced(onnx_bundle: Bundle, out: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="overwrite"):
        export_to(onnx_bundle, "kserve", out, storage_uri=URI)
    export_to(onnx_bundle, "kserve", out, storage_uri="s3://elsewhere", overwrite=True)
    assert documents(out)["InferenceService"]["spec"]["predictor"]["model"]["storageUri"] == "s3://elsewhere"
    (out / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="is not a service for KServe"):
        export_to(onnx_bundle, "kserve", out, storage_uri=URI, overwrite=True)


def test_a_bundle_that_changes_meanwhile_is_noticed(
    onnx_bundle: Bundle, weights_bundle: Bundle, measured: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = shutil.copytree
    monkeypatch.setattr(shutil, "copytree", lambda _, place: real(weights_bundle.path, place))
    with pytest.raises(CheckFailed, match="changed while it was copied"):
        export_to(onnx_bundle, "kserve", tmp_path / "digits", storage_uri=URI)
    assert not list(tmp_path.iterdir())


def test_the_command_writes_it_and_says_what_is_next(
    onnx_bundle: Bundle, measured: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["export", str(onnx_bundle.path), "--to", "kserve", "--out", str(tmp_path / "digits")]
    assert run([*command, "--storage-uri", URI]) == 0
    assert "kubectl apply" in capsys.readouterr().err
    assert run(command) == 2
