"""The documents for KServe, read by the classes of its own package, which know every field and its type."""

import copy
import re
from collections.abc import Iterator
from typing import Any

import kserve
import kubernetes.client
import pytest
import yaml
from conftest import Served, package

CLASSES = {"ServingRuntime": "V1alpha1ServingRuntime", "InferenceService": "V1beta1InferenceService"}
PLAIN = {"str": str, "int": int, "bool": bool, "float": float}
UNTYPED = {"object", "datetime", "ResourceQuantity", "IntOrString", "V1beta1MetricQuantity"}
HOLDERS = re.compile(r"(list|dict)[\[(](?:str, )?(.*)[\])]", re.IGNORECASE)


@pytest.fixture(scope="module")
def documents(served: Served, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    out = tmp_path_factory.mktemp("kserve") / "digits"
    arguments = ["--to", "kserve", "--out", str(out), "--storage-uri", "s3://models/digits"]
    package("-m", "xception", "export", str(served.bundle), *arguments)
    return [yaml.safe_load((out / name).read_text()) for name in ("runtime.yaml", "service.yaml")]


def faults(value: Any, kind: str, path: str = "") -> Iterator[str]:
    """The places at which a value is not what the package's classes say."""
    if held := HOLDERS.fullmatch(kind):
        if not isinstance(value, list if held[1].lower() == "list" else dict):
            yield f"{path} is no {kind}"
            return
        for name, part in enumerate(value) if isinstance(value, list) else value.items():
            yield from faults(part, held[2], f"{path}.{name}")
    elif kind in PLAIN:
        if type(value) is not PLAIN[kind]:
            yield f"{path} is no {kind}"
    elif kind not in UNTYPED:
        yield from _faults_of_class(value, class_of(kind), path)


def class_of(kind: str) -> Any:
    """The class of a kind; some bear the long names of where they are defined."""
    short = re.sub(r"^K8sIoApi\w*?(V\d)", r"\1", kind)
    for name in (kind, short):
        for holder in (kserve, kserve.models, kubernetes.client):
            if hasattr(holder, name):
                return getattr(holder, name)
    raise AssertionError(f"no class {kind}")


def _faults_of_class(value: Any, found: Any, path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{path} is no {found.__name__}"
        return
    fields = {name: field for field, name in found.attribute_map.items()}
    for name, part in value.items():
        if name not in fields:
            yield f"{path} has no {name}"
        else:
            yield from faults(part, found.openapi_types[fields[name]], f"{path}.{name}")
    try:
        found(**{fields[name]: part for name, part in value.items() if name in fields})
    except ValueError as error:
        yield f"{path}: {error}"


def found_faults(document: dict[str, Any]) -> list[str]:
    return list(faults(document, CLASSES[document["kind"]]))


def places(node: Any) -> Iterator[tuple[Any, Any]]:
    """Every mapping of a document with each of its fields, but mappings of anybody's names."""
    for name, part in node.items() if isinstance(node, dict) else enumerate(node):
        if isinstance(node, dict) and name != "kind":
            yield node, name
        if isinstance(part, dict | list) and name not in ("annotations", "labels", "requests", "limits"):
            yield from places(part)


def test_the_classes_of_kserve_take_the_documents(documents: list[dict[str, Any]]) -> None:
    for document in documents:
        assert found_faults(document) == []


@pytest.mark.parametrize("way", ["misspelled", "of another type"])
def test_every_field_that_is_changed_is_noticed(way: str, documents: list[dict[str, Any]]) -> None:
    for document in documents:
        count = len(list(places(document)))
        assert count > 20
        for number in range(count):
            changed = copy.deepcopy(document)
            holder, name = list(places(changed))[number]
            if way == "misspelled":
                holder[f"{name}z"] = holder.pop(name)
            elif isinstance(holder[name], str | int | bool) and name not in (
                "port",
                "maxSurge",
                "maxUnavailable",
                "value",
            ):
                holder[name] = [holder[name]]
            else:
                continue
            assert found_faults(changed), (way, name)


def test_the_file_of_the_bundle_is_named(documents: list[dict[str, Any]], served: Served) -> None:
    digests = {document["metadata"]["annotations"]["xception-bundle-digest"] for document in documents}
    (digest,) = digests
    assert digest in package("-m", "xception", "info", str(served.bundle), "--json").stdout
