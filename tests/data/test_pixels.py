import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.support.samples import encoded, picture
from xception.data import decode as decoding
from xception.data import pixels as resampling
from xception.data.decode import decode
from xception.data.pixels import Mode, pixels
from xception.errors import DecodeError
from xception.preprocess import FILTERS, CenterCrop, CropSquash, Preprocess, ShorterSide, Squash

PREPROCESS = Preprocess(resize=ShorterSide(px=36), crop=CenterCrop(width_px=32, height_px=30))
MODES: tuple[Mode, ...] = ("reference", "exact", "fast")


@pytest.fixture(params=["as installed", "without faster libraries"])
def libraries(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "without faster libraries":
        for module in (decoding, resampling):
            monkeypatch.setattr(module, "optional", lambda name: None)
    return str(request.param)


def noise(width: int, height: int, mode: str = "RGB", seed: int = 0) -> Image.Image:
    """Black and white dots, on which every filter overshoots."""
    dots = np.random.default_rng(seed).integers(0, 2, (height, width, 3), np.uint8) * np.uint8(255)
    return Image.fromarray(dots).convert(mode)


def steps(image: Image.Image | bytes, preprocess: Preprocess, mode: Mode = "exact") -> np.ndarray:
    """How far each value is from the reference's."""
    reference, other = (pixels(image, preprocess, each).astype(int) for each in ("reference", mode))
    assert reference.shape == other.shape
    return np.abs(reference - other)


def preprocessing(px: int, crop_px: tuple[int, int] | None = None, **settings: object) -> Preprocess:
    crop = crop_px and CenterCrop(width_px=crop_px[0], height_px=crop_px[1])
    rules = {"resize": ShorterSide(px=px), "crop": crop or None}
    return Preprocess(**(rules | settings))


@pytest.mark.parametrize("file_format", ["JPEG", "PNG"])
def test_the_reference_is_the_published_resize_and_crop(file_format: str) -> None:
    file = encoded(picture(90, 70), file_format)
    assert np.array_equal(pixels(file, PREPROCESS, "reference"), PREPROCESS.resized(decode(file)))
    assert np.array_equal(pixels(decode(file), PREPROCESS, "reference"), PREPROCESS.resized(decode(file)))


SIDE = st.one_of(st.integers(1, 12), st.integers(1, 160))
CROPS = st.none() | st.tuples(st.integers(1, 70), st.integers(1, 70))


@pytest.mark.parametrize("with_libraries", [True, False])
@given(
    width=SIDE,
    height=SIDE,
    mode=st.sampled_from(["RGB", "L", "RGBA", "LA", "CMYK", "P", "1"]),
    rule=st.builds(ShorterSide, px=st.integers(1, 60), long_side=st.sampled_from(["truncate", "round"]))
    | st.builds(Squash, width_px=st.integers(1, 60), height_px=st.integers(1, 60))
    | st.none(),
    crop=CROPS,
    offset=st.sampled_from(["round", "floor"]),
    interpolation=st.sampled_from(["bicubic", "bilinear", "nearest"]),
    color=st.sampled_from(["rgb", "bgr", "gray"]),
    seed=st.integers(0, 1 << 30),
)
def test_exact_values_are_within_one_step_of_the_reference_whatever_the_image(
    with_libraries: bool,
    width: int,
    height: int,
    mode: str,
    rule: ShorterSide | Squash | None,
    crop: tuple[int, int] | None,
    offset: str,
    interpolation: str,
    color: str,
    seed: int,
) -> None:
    channels = 1 if color == "gray" else 3
    preprocess = Preprocess(
        color=color,
        resize=rule,
        crop=CenterCrop(width_px=crop[0], height_px=crop[1], offset=offset) if crop else None,
        interpolation=interpolation,
        mean=(0.5,) * channels,
        std=(0.5,) * channels,
    )
    with pytest.MonkeyPatch.context() as patch:
        if not with_libraries:
            patch.setattr(resampling, "optional", lambda name: None)
        assert steps(noise(width, height, mode, seed), preprocess).max() <= 1


@pytest.mark.parametrize(
    ("width", "height"),
    [(1, 1), (2, 1), (1, 300), (300, 1), (37, 238), (42, 147), (26, 12), (40, 80), (40, 81), (900, 31), (500, 375)],
)
@pytest.mark.parametrize("preprocess", [preprocessing(36, (32, 30)), preprocessing(36, (50, 64)), preprocessing(7)])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_slivers_and_images_smaller_than_the_crop_are_within_one_step_too(
    libraries: str, width: int, height: int, preprocess: Preprocess, interpolation: str
) -> None:
    preprocess = msgspec.structs.replace(preprocess, interpolation=interpolation)
    assert steps(noise(width, height), preprocess).max() <= 1


@pytest.mark.parametrize("rule", [ShorterSide(px=37, long_side="round"), Squash(width_px=69, height_px=23)])
def test_an_image_that_is_much_taller_than_wide_or_squashed_is_within_one_step_too(
    libraries: str, rule: ShorterSide | Squash
) -> None:
    tall = Preprocess(resize=rule, crop=CenterCrop(width_px=24, height_px=15))
    assert max(steps(noise(37 + seed, 238, seed=seed), tall).max() for seed in range(5)) <= 1


def test_one_scale_for_both_sides_would_be_noticed() -> None:
    sliver = noise(301, 40)
    scale = 40 / 36
    left, top = (int(36 * 301 / 40) - 32) / 2 * scale, (36 - 30) / 2 * scale
    naive = sliver.resize((32, 30), Image.Resampling.BICUBIC, (left, top, left + 32 * scale, top + 30 * scale))
    difference = PREPROCESS.pixels(naive).astype(int) - pixels(sliver, PREPROCESS, "reference")
    assert np.abs(difference).max() > 1


@pytest.mark.parametrize(("width", "height"), [(500, 375), (375, 500), (640, 427)])
def test_exact_values_are_nearly_all_equal_to_the_reference(libraries: str, width: int, height: int) -> None:
    preprocess = preprocessing(333, (299, 299))
    soft = noise(width // 3, height // 3).resize((width, height), Image.Resampling.BICUBIC)
    different = steps(soft, preprocess)
    assert different.max() <= 1
    assert (different > 0).mean() < 0.01


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_the_columns_of_a_crop_are_those_of_the_whole_resize_but_for_single_roundings(interpolation: str) -> None:
    rng = np.random.default_rng(0)
    limited = 0
    for width in range(300, 560, 3):
        image = noise(width, 8, seed=width)
        target = int(rng.integers(240, 420))
        part = tuple(sorted(rng.choice(target, 2, replace=False).tolist()))
        drawn, _ = resampling._span(width, target, part, interpolation)
        assert drawn[0] <= part[0] < part[1] <= drawn[1]
        limited += drawn != (0, target)
        columns, first = resampling._columns(image, target, part, interpolation)
        mine = np.asarray(columns)[:, first : first + part[1] - part[0]].astype(int)
        whole = np.asarray(image.resize((target, 8), FILTERS[interpolation]))[:, part[0] : part[1]]
        assert np.abs(mine - whole).max() <= 1
        assert (mine != whole).mean() < 0.002
    assert limited > 30 or interpolation == "bilinear"


@pytest.mark.parametrize(
    ("width", "target", "interpolation"), [(500, 470, "bicubic"), (300, 470, "bicubic"), (500, 444, "bilinear")]
)
def test_all_columns_are_drawn_where_many_values_may_be_a_half_or_the_image_grows(
    width: int, target: int, interpolation: str
) -> None:
    assert resampling._span(width, target, (85, 384), interpolation) == ((0, target), (0.0, width))
    assert resampling._span(500, 444, (72, 371), "bicubic")[0] != (0, 444)


def test_the_rules_that_have_no_shortcut_give_the_reference() -> None:
    image = noise(90, 70)
    for rules in (
        {"interpolation": "nearest"},
        {"interpolation": "bilinear", "antialias": False},
        {"resize": None},
        {"resize": CropSquash(width_px=40, height_px=36)},
        {"fractions": True},
    ):
        for mode in MODES:
            assert not steps(image, preprocessing(36, (32, 30), **rules), mode).any()


def test_only_the_fast_way_decodes_a_photograph_smaller_and_never_below_what_is_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    decoded: list[tuple[int, int]] = []
    load = decoding.loaded_image

    def spied(*arguments: object, **keywords: object) -> Image.Image:
        image = load(*arguments, **keywords)
        decoded.append(image.size)
        return image

    for module in (decoding, resampling):
        monkeypatch.setattr(module, "optional", lambda name: None)
    monkeypatch.setattr(resampling, "loaded_image", spied)
    photo = encoded(noise(50, 40).resize((500, 400)), "JPEG", quality=95)
    for mode in MODES:
        pixels(photo, preprocessing(33), mode)
    assert decoded == [(500, 400), (500, 400), (63, 50)]
    pixels(photo, preprocessing(34), "fast")
    assert decoded[-1] == (125, 100)


def test_fast_values_are_near_the_reference_on_a_photograph(libraries: str) -> None:
    soft = noise(9, 7).resize((900, 700), Image.Resampling.BICUBIC)
    photo = encoded(soft, "JPEG", quality=95)
    assert steps(photo, preprocessing(80, (72, 72)), "fast").mean() < 1
    assert steps(encoded(soft.transpose(Image.Transpose.ROTATE_90), "JPEG"), PREPROCESS, "fast").mean() < 1
    assert steps(soft, PREPROCESS, "fast").mean() < 1


@pytest.mark.parametrize("color", ["rgb", "bgr", "gray"])
@pytest.mark.parametrize("crop", [(32, 30), (70, 20), (20, 70)])
def test_fast_values_of_a_file_are_those_of_its_image(libraries: str, color: str, crop: tuple[int, int]) -> None:
    statistics = (0.5,) if color == "gray" else (0.5,) * 3
    preprocess = preprocessing(36, crop, color=color, mean=statistics, std=statistics)
    photo = encoded(noise(50, 47), "JPEG")
    assert np.array_equal(pixels(photo, preprocess, "fast"), pixels(decode(photo), preprocess, "fast"))


def test_a_turned_photograph_is_upright_in_every_mode(libraries: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    photo = encoded(noise(9, 7).resize((360, 280), Image.Resampling.BICUBIC), "JPEG", exif=exif)
    for mode in MODES:
        assert steps(photo, PREPROCESS, mode).mean() < 1
    assert pixels(photo, preprocessing(36)).shape == (3, 46, 36)


@pytest.mark.parametrize("mode", MODES)
def test_what_cannot_be_decoded_or_resized_is_refused_in_every_mode(mode: Mode) -> None:
    photo = encoded(picture(64, 48), "JPEG")
    with pytest.raises(DecodeError, match="runcated"):
        pixels(photo[: len(photo) // 2], PREPROCESS, mode)
    with pytest.raises(DecodeError, match="too elongated"):
        pixels(Image.new("RGB", (1, 30_000)), preprocessing(299), mode)
    with pytest.raises(DecodeError, match="too elongated"):
        pixels(encoded(Image.new("RGB", (1, 30_000)), "JPEG"), preprocessing(299), mode)
