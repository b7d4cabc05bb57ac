"""Files and documents come in through `inputs.py`, and text goes out through the command line's functions."""

import re

import pytest

from tests.rules.source import FILES, ROOT

READING = (
    r"(?<!inputs)\.read_(bytes|text)\(|\.open\((\"rb\"|\)|encoding)"
    r"|\bnp\.(load|fromfile|loadtxt)\((?!open_file|inputs|stream|file)"
    r"|\bmmap\.mmap\(|(?<![\w.])(?<!def )open\(|\bos\.open\("
)

RULES = {
    "a file that is read": (
        READING,
        {
            "inputs.py": "the door itself",
            "outputs.py": "opens what it writes",
            "platforms.py": "opens folders to flush them",
            "machine.py": "the system's own files",
            "quantize/processor.py": "the system's own files",
            "labels.py": "a table of the package",
            "serve/page.py": "files of the package",
            "export/packs/verify.py": "goes with a pack, where the package is not",
            "data/tars.py": "a member of an archive",
            "data/prepare.py": "a member of an archive",
            "cli/app.py": "opens the null device to write to",
        },
    ),
    "a document that is parsed": (
        r"\bmsgspec\.json\.decode\(|\bjson\.loads\(|\btomllib\.loads\(|\byaml\.(safe_)?load\(",
        {
            "inputs.py": "the door itself",
            "weights.py": "looks for names that come twice, which msgspec does not tell",
            "train/recipe.py": "the one reader of TOML",
            "interchange/vamc.py": "YAML without types",
            "convert/readers/run_config.py": "YAML without types, of a bounded number of values",
            "identity/safetensors.py": "a header of the package's own, which counts as none if it is no JSON",
            "data/parquet.py": "notes that count as none if they are no JSON",
            "export/pbtxt.py": "strings of the package's own text",
            "tasks/certify.py": "written by the package's own script",
            "train/checkpoint.py": "a header that a checksum was compared with",
            "export/packs/pack.py": "a document of its own",
            "export/packs/verify.py": "goes with a pack, where the package is not",
        },
    ),
    "a line that is shown": (
        r"\bsys\.(stdout|stderr)\.write\(",
        {
            "cli/output.py": "the door itself",
            "cli/evaluate.py": "a table of its own",
            "cli/benchmark.py": "lines of figures",
            "export/packs/verify.py": "goes with a pack, where the package is not",
        },
    ),
    "an image that is decoded": (r"\bImage\.open\(", {"data/decode.py": "the door itself"}),
    "a file system behind a URL": (
        r"\burl_to_fs\(|\bfsspec\.(open|filesystem)\(",
        {"data/remote.py": "the door itself"},
    ),
}
"""What is done in few places, the pattern that finds it, and these places with the reason."""

PLANTED = {
    "a file that is read": ["path.read_bytes()", "file.open()", 'np.load(folder / "a.npy")', "open(path)"],
    "a document that is parsed": ["msgspec.json.decode(raw, type=Model)", "json.loads(text)"],
    "a line that is shown": ["sys.stdout.write(name)", "sys.stderr.write(name)"],
    "an image that is decoded": ["Image.open(path)"],
    "a file system behind a URL": ["fsspec.open(url)"],
}


def places(rule: str) -> set[str]:
    pattern, _ = RULES[rule]
    found = {path.relative_to(ROOT).as_posix() for path in FILES if re.search(pattern, path.read_text("utf-8"))}
    return {place for place in found if not place.startswith("upstream/")}


@pytest.mark.parametrize("rule", RULES)
def test_it_is_done_in_its_places_only(rule: str) -> None:
    assert places(rule) - RULES[rule][1].keys() == set()


@pytest.mark.parametrize("rule", RULES)
def test_every_exception_is_needed(rule: str) -> None:
    assert RULES[rule][1].keys() <= places(rule)


@pytest.mark.parametrize("rule", RULES)
def test_another_place_would_be_found(rule: str) -> None:
    assert all(re.search(RULES[rule][0], line) for line in PLANTED[rule])
