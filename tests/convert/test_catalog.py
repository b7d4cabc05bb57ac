import hashlib
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest
from PIL import Image

from xception.arch.variants import VARIANTS
from xception.convert import catalog
from xception.convert.catalog import CATALOG, default_entry, identify, resolve_entry
from xception.convert.checksum import Digest
from xception.convert.readers.binary import load_file
from xception.convert.weights_entry import WeightsEntry
from xception.errors import AmbiguousName, UnknownName
from xception.preprocess import CenterCrop, Preprocess, ShorterSide, Squash

ENTRIES = tuple(CATALOG.values())


def test_every_variant_has_an_entry_and_every_entry_a_variant() -> None:
    assert {entry.variant for entry in ENTRIES} == set(VARIANTS)


def test_names_are_unique() -> None:
    assert len(CATALOG) == len(catalog._ROWS)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_an_entrys_facts_fit_its_network(entry: WeightsEntry) -> None:
    spec = VARIANTS[entry.variant]
    assert entry.preprocess.channels == spec.in_channels
    assert (entry.label_set == "imagenet1k") == (spec.in_channels == 3)
    assert entry.preprocess.output_px is not None
    assert entry.preprocess.output_px[0] == entry.preprocess.output_px[1] >= 48
    assert entry.reference or "No address" in " ".join(entry.defects)
    assert entry.file is None or entry.reference is not None


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_accuracies_are_fractions_and_newest_first(entry: WeightsEntry) -> None:
    for reported in entry.reported:
        assert (0.4 if entry.snapshot_of else 0.5) < reported.top1 < (reported.top5 or 1) < 1.0001
        assert reported.where
    dates = [reported.date for reported in entry.reported if reported.date]
    assert dates == sorted(dates, reverse=True)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_defects_are_sentences(entry: WeightsEntry) -> None:
    assert all(defect[0].isupper() and defect.endswith(".") for defect in entry.defects)


@pytest.mark.parametrize("entry", [entry for entry in ENTRIES if entry.digest], ids=lambda entry: entry.name)
def test_digests_are_lower_case_hexadecimal_of_at_least_eight_digits(entry: WeightsEntry) -> None:
    assert entry.digest
    assert len(entry.digest.hex) in (8, 9, 32, 64)
    assert set(entry.digest.hex) <= set("0123456789abcdef")


def test_only_files_whose_source_states_no_checksum_go_unchecked() -> None:
    unchecked = [entry for entry in ENTRIES if not entry.digest and entry.reference]
    assert {entry.container for entry in unchecked if not entry.port_of} == {"safetensors", "pdparams", "ckpt"}
    assert {str(entry.reference).partition("/")[0] for entry in unchecked if entry.port_of} == {
        "hf-hub:keras",
        "hf-hub:smp-hub",
        "hf-hub:zeromodels",
    }


def test_a_port_names_an_entry_of_the_same_network() -> None:
    ports = [entry for entry in ENTRIES if entry.port_of]
    assert len(ports) == 9
    for entry in ports:
        assert CATALOG[str(entry.port_of)].variant == entry.variant
        assert CATALOG[str(entry.port_of)].label_set == entry.label_set


@pytest.mark.parametrize(
    ("name", "size", "resized", "crop"),
    [
        # 500x375 at the short side: truncated by torchvision and MindSpore, rounded by Paddle.
        ("timm_xception41.tf_in1k", (500, 375), (441, 331), (71, 16, 370, 315)),
        ("timm_xception41p.ra3_in1k", (500, 375), (424, 318), (62, 10, 361, 309)),
        ("timm_xception.tf_in1k", (500, 375), (444, 333), (72, 17, 371, 316)),
        ("ppcls_xception71.ppcls_in1k", (500, 375), (427, 320), (64, 10, 363, 309)),
        ("mindspore_xception.gpu_in1k", (500, 375), (426, 320), (63, 10, 362, 309)),
        ("mindcv_xception.in1k_299", (500, 375), (454, 341), (77, 21, 376, 320)),
        ("mindcv_xception.in1k_224", (500, 375), (341, 256), (58, 16, 282, 240)),
    ],
)
def test_sizes_are_whole_pixels_by_the_sources_own_rounding(
    name: str, size: tuple[int, int], resized: tuple[int, int], crop: tuple[int, int, int, int]
) -> None:
    preprocess = CATALOG[name].preprocess
    assert isinstance(preprocess.resize, ShorterSide)
    assert preprocess.crop
    assert preprocess.resize.size(*size) == resized
    assert preprocess.crop.box(*resized) == crop


def test_normalisations_are_the_sources() -> None:
    by_mean: dict[tuple[float, ...], set[str]] = {}
    for entry in ENTRIES:
        by_mean.setdefault(entry.preprocess.mean, set()).add(VARIANTS[entry.variant].source)
    assert by_mean == {
        (0.5, 0.5, 0.5): {"timm", "keras", "mindspore"},
        (0.485, 0.456, 0.406): {"paddleclas", "mindcv", "gluon"},
        (0.5,): {VARIANTS["mini_xception"].source},
    }


def test_faces_are_squashed_and_gray() -> None:
    face = CATALOG["mini_xception.fer2013"].preprocess
    assert face.color == "gray"
    assert face.resize == Squash(width_px=64, height_px=64)
    assert not face.antialias


def test_emotions_and_genders_stand_in_the_order_of_the_logits() -> None:
    emotions = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
    assert CATALOG["mini_xception.fer2013"].labels.names == emotions
    assert CATALOG["mini_xception.imdb_gender"].labels.names == ("woman", "man")
    assert CATALOG["tiny_xception.kdef"].labels.ids == ("AN", "DI", "AF", "HA", "SA", "SU", "NE")


def test_an_entry_is_found_by_name() -> None:
    assert resolve_entry("timm_xception65.tf_in1k").preprocess.resize == ShorterSide(px=331)


def test_a_variant_with_one_entry_names_it() -> None:
    assert resolve_entry("keras_xception").name == "keras_xception.imagenet"


def test_the_source_in_front_may_be_left_out_where_no_other_has_the_rest() -> None:
    assert resolve_entry("xception65.ra3_in1k").name == "timm_xception65.ra3_in1k"
    assert resolve_entry("xception65p").name == "timm_xception65p.ra3_in1k"
    with pytest.raises(AmbiguousName, match="ppcls_xception71"):
        resolve_entry("xception71")


def test_a_variant_with_several_entries_is_refused_with_all_of_them() -> None:
    with pytest.raises(AmbiguousName) as caught:
        resolve_entry("timm_xception")
    assert caught.value.candidates == ("timm_xception.tf_in1k", "timm_xception.tstandley_in1k")


def test_ports_and_snapshots_do_not_make_a_name_ambiguous() -> None:
    assert resolve_entry("mini48_xception").name == "mini48_xception.fer2013"
    assert resolve_entry("tiny_xception").name == "tiny_xception.kdef"
    assert {CATALOG[name].snapshot_of for name in CATALOG if "_epoch" in name} == {"mini_xception.fer2013"}


def test_an_unknown_entry_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match=r"did you mean .*timm_xception41\.tf_in1k"):
        resolve_entry("legacy_xception41.tf_in1k")


@pytest.mark.parametrize(
    ("variant", "entry"),
    [
        ("timm_xception", "timm_xception.tf_in1k"),
        ("timm_xception65", "timm_xception65.ra3_in1k"),
        ("mindcv_xception", "mindcv_xception.in1k_299"),
        ("mini_xception", "mini_xception.fer2013"),
    ],
)
def test_a_variants_default_is_what_its_source_takes_first(variant: str, entry: str) -> None:
    default = default_entry(variant)
    assert default
    assert default.name == entry


def test_what_is_no_published_variant_has_no_default() -> None:
    assert default_entry("my_network") is None


def test_a_published_file_is_known_by_its_content_whatever_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "weights.bin").write_bytes(b"published")
    published = hashlib.md5(b"published").hexdigest()
    entry = replace(CATALOG["keras_xception.imagenet"], digest=Digest("md5", published))
    monkeypatch.setattr(catalog, "CATALOG", MappingProxyType({entry.name: entry}))
    assert identify(load_file(tmp_path / "weights.bin").checksums) == entry
    (tmp_path / "weights.bin").write_bytes(b"publisheD")
    assert identify(load_file(tmp_path / "weights.bin").checksums) is None


def test_an_entrys_preprocessing_runs() -> None:
    photo = Image.new("RGB", (500, 375), (255, 0, 0))
    for entry in ENTRIES:
        pixels = entry.preprocess(photo)
        assert pixels.shape == (entry.preprocess.channels, *(entry.preprocess.output_px or ()))
    assert CATALOG["keras_xception.imagenet"].preprocess == Preprocess(
        orientation="stored", resize=ShorterSide(px=333), crop=CenterCrop(width_px=299, height_px=299)
    )
