"""Where the tests of a module lie."""

from pathlib import Path

from tests.rules.source import ROOT

TESTS = Path(__file__).parents[1]

# Modules whose tests do not lie in a namesake, and where they lie.
TESTED_ELSEWHERE = {
    "version.py": "rules/test_public_api.py",
    "model_document.py": "test_bundle.py",
    "cli/prove.py": "test_proof.py",
    "backends/base.py": "backends/test_contract.py",
    "backends/graph_session.py": "backends/test_contract.py",
    "backends/litert.py": "backends/test_contract.py",
    "backends/onnxruntime.py": "backends/test_contract.py",
    "backends/openvino.py": "backends/test_contract.py",
    "backends/torch.py": "backends/test_contract.py",
    **{f"cli/{verb}.py": "cli/test_verbs.py" for verb in ("compare", "evaluate", "export", "info", "list", "predict")},
    "cli/origin.py": "cli/test_verbs.py",
    "cli/output.py": "cli/test_verbs.py",
    "data/classes.py": "data/test_list_file.py",
    "data/ground_truth.py": "data/test_flat_folder.py",
    "data/splits.py": "data/test_folder.py",
    "convert/naming/gluon.py": "convert/test_naming_schemes.py",
    "convert/naming/mindspore.py": "convert/test_naming_schemes.py",
    "convert/naming/paddle.py": "convert/test_naming_schemes.py",
    "convert/naming/tfslim.py": "convert/test_naming_schemes.py",
    "convert/naming/timm.py": "convert/test_naming_schemes.py",
    "byte_span.py": "convert/test_readers_tensorbundle.py",
    "protobuf.py": "attacks/test_hostile_protobufs.py",
    "convert/readers/binary.py": "convert/test_readers_tensorbundle.py",
    "convert/readers/checkpoint.py": "convert/test_readers_folder.py",
    "convert/readers/limits.py": "attacks/test_hostile_hdf5.py",
    "convert/readers/pickles.py": "attacks/test_hostile_pickles.py",
    "convert/readers/state_dicts.py": "convert/test_readers_torch_pickle.py",
    **{f"tasks/{part}.py": "tasks/test_evaluate.py" for part in ("evaluation", "tally", "targets")},
    "oip/documents.py": "oip/test_tensors.py",
    **{f"oip/{part}.py": "oip/test_conformance.py" for part in ("client", "rules", "subject")},
    "cli/oip_check.py": "oip/test_conformance.py",
    "cli/servers.py": "oip/test_conformance.py",
    **{
        f"serve/{part}.py": "serve/test_app.py"
        for part in (
            "bodies",
            "classify",
            "extensions",
            "front",
            "inference",
            "measures",
            "model",
            "openapi",
            "refusal",
            "service",
        )
    },
    "serve/addresses.py": "serve/test_server.py",
    "cli/serve.py": "serve/test_server.py",
    "cli/serve_key.py": "serve/test_keys.py",
    "upstream/mindir.py": "export/test_mindir.py",
}


def namesakes(path: Path) -> list[str]:
    """Places for a module's tests: the mirrored folder, or next to it with the folder's name in front."""
    relative = path.relative_to(ROOT)
    *folders, folder = relative.parent.parts or ("",)
    neighbour = "/".join([*folders, f"test_{folder}_{path.name}"])
    places = [f"{relative.parent.as_posix()}/test_{path.name}", neighbour]
    return [TESTED_ELSEWHERE.get(relative.as_posix(), place) for place in places]


def is_tested(path: Path) -> bool:
    return any((TESTS / place).is_file() for place in namesakes(path))
