from dataclasses import replace

import pytest

from xception.arch.spec import Norm
from xception.arch.variants import VARIANTS, architecture
from xception.report.anatomy import NetworkCard, cards


def named(variant: str) -> dict[str, NetworkCard]:
    return {f"{card.title}, {card.subtitle}": card for card in cards(VARIANTS[variant])}


def words(rows: tuple[tuple[object, ...], ...]) -> list[str]:
    return [" ".join(chip.text for chip in row) for row in rows]  # type: ignore[attr-defined]


def test_blocks_that_differ_in_channels_alone_share_a_card() -> None:
    assert list(named("keras_xception")) == [
        "Stem, padding 0",
        "Entry flow, block 1",
        "Entry flow, blocks 2-3: C = 256, 728",
        "Middle flow, blocks 4-11",
        "Exit flow, block 12",
        "Exit flow, block 13",
        "Head, to the logits",
    ]


def test_blocks_of_other_strides_have_cards_of_their_own() -> None:
    entry = [card for card in cards(VARIANTS["ppcls_xception71"]) if card.title == "Entry flow"]
    assert [words(card.units[-1]) for card in entry] == [
        ["max 3×3 /2 sym."],
        ["max 3×3 sym."],
        ["max 3×3 /2 sym."],
        ["max 3×3 sym."],
        ["max 3×3 /2 sym."],
    ]


@pytest.mark.parametrize(
    ("variant", "unit"),
    [
        ("keras_xception", ["ReLU", "dw 3×3", "pw → 728", "BN"]),
        ("ppcls_xception41", ["ReLU", "pw → 728", "BN", "dw 3×3", "BN"]),
        ("timm_xception65", ["ReLU", "dw 3×3", "BN", "pw → 728", "BN"]),
        ("timm_xception65p", ["BN ReLU", "dw 3×3", "pw → 728"]),
    ],
)
def test_the_four_arrangements_read_as_they_compute(variant: str, unit: list[str]) -> None:
    middle = next(card for card in cards(VARIANTS[variant]) if card.title == "Middle flow")
    assert words(middle.units[-1]) == unit


@pytest.mark.parametrize(
    ("variant", "shortcut"),
    [("keras_xception", ["1×1 /2", "BN"]), ("ppcls_xception41", ["1×1 /2"])],
)
def test_a_shortcut_is_a_convolution_the_identity_or_none(variant: str, shortcut: list[str]) -> None:
    _, entry, *_, tail, head = cards(VARIANTS[variant])
    middle = next(card for card in cards(VARIANTS[variant]) if card.title == "Middle flow")
    assert entry.shortcut is not None
    assert words(entry.shortcut) == shortcut
    assert middle.shortcut == ()
    assert tail.shortcut is head.shortcut is None


def test_what_acts_on_both_paths_stands_before_the_units() -> None:
    gluon = named("gluon_xception65")
    assert words(gluon["Entry flow, block 2"].before) == ["ReLU"]
    assert words(gluon["Entry flow, block 3"].before) == []
    assert words(cards(VARIANTS["timm_xception41p"])[-2].after) == ["ReLU"]


def test_paddles_traps_are_shown() -> None:
    *_, tail, head = cards(VARIANTS["ppcls_xception65_deeplab"])
    assert words(tail.units[0])[0] == "dw 3×3 dilated 2"
    assert words(head.units[0]) == ["× 0.5", "average", "dense → 1000"]


def test_a_convolution_as_classifier_stands_before_the_average() -> None:
    assert words(cards(VARIANTS["mini_xception"])[-1].units[0]) == ["conv 3×3 → 7", "average"]


def test_footers_are_the_maps_at_the_networks_own_size() -> None:
    assert [card.footer for card in cards(VARIANTS["timm_xception41"])] == [
        "64 × 150²",
        "128 × 75²",
        "C × 38², 19²",
        "728 × 19²",
        "1024 × 10²",
        "2048 × 10²",
        "1000",
    ]


def test_a_finer_output_stride_shows_as_dilation() -> None:
    *_, tail, _ = cards(architecture("timm_xception41", output_stride=16))
    assert words(tail.units[0])[0] == "dw 3×3 dilated 2"
    assert tail.footer == "2048 × 19²"


def test_what_is_not_drawn_does_not_change_the_cards() -> None:
    spec = VARIANTS["keras_xception"]
    assert cards(replace(spec, norm=Norm(epsilon=1e-5, momentum=0.5))) == cards(spec)
