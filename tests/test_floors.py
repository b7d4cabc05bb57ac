import re

from tests.floors import ROOT, floors, plain_name

PYPROJECT = """
dependencies = [
    "numpy>=2.0",
    "pillow>=12.3", # before it, decoders write outside of their buffers
]
cloud = ["pandas>=2.2"]\n# Without.\nx = ["moto[server]>=5.1"]
heic = ["pillow-heif>=1.3"] # before it, sizes overflow
"""

CONSTRAINTS = "# tested\nnumpy==2.5.1\npillow==13.0.0\npillow_heif==1.8.1\nmultidict==7.2.1\nmoto==5.2.0\n"


def test_a_lower_bound_with_a_reason_takes_the_place_of_the_tested_version() -> None:
    assert floors(PYPROJECT, CONSTRAINTS) == ["moto==5.2.0", "numpy==2.5.1", "pillow==12.3", "pillow-heif==1.3"]


def test_the_lower_bounds_of_packages_with_holes_have_reasons() -> None:
    texts = [(ROOT / name).read_text("utf-8") for name in ("pyproject.toml", "constraints.txt")]
    lines = dict(line.split("==") for line in floors(*texts))
    tested = dict(re.findall(r"^([\w.-]+)==(\S+)", texts[1], flags=re.MULTILINE))
    tested = {plain_name(name): version for name, version in tested.items()}
    lowered = {name for name, version in lines.items() if tested[name] != version}
    assert {"aiohttp", "fsspec", "onnx", "onnxruntime", "pillow", "pillow-heif", "s3fs"} <= lowered


def test_the_hashes_are_those_of_the_tested_versions() -> None:
    hashed = re.findall(r"^([\w.-]+==[^\s;\\]+)", (ROOT / "constraints-hashed.txt").read_text("utf-8"), re.MULTILINE)
    pins = re.findall(r"^([\w.-]+==\S+)", (ROOT / "constraints.txt").read_text("utf-8"), re.MULTILINE)
    assert {plain_name(pin) for pin in hashed} == {plain_name(pin) for pin in pins}
