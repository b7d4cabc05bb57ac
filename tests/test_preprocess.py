import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.support.samples import picture
from xception.errors import DecodeError, UsageError
from xception.preprocess import CenterCrop, CropSquash, Preprocess, ShorterSide, Squash, resize_bilinear, whole_levels

SIDE = st.integers(1, 5000)


@given(width=SIDE, height=SIDE, px=st.integers(1, 600))
def test_the_shorter_side_takes_the_size_and_the_longer_keeps_the_ratio(width: int, height: int, px: int) -> None:
    for long_side in ("truncate", "round"):
        new_width, new_height = ShorterSide(px=px, long_side=long_side).size(width, height)
        assert min(new_width, new_height) == px
        assert (new_width >= new_height) == (width >= height) or new_width == new_height
        assert abs(max(new_width, new_height) - px * max(width, height) / min(width, height)) < 1


@pytest.mark.parametrize(("long_side", "expected"), [("truncate", (256, 340)), ("round", (256, 341))])
def test_the_longer_side_is_truncated_or_rounded(long_side: str, expected: tuple[int, int]) -> None:
    assert ShorterSide(px=256, long_side=long_side).size(384, 511) == expected


def test_squash_forgets_the_ratio() -> None:
    assert Squash(width_px=7, height_px=9).size(100, 3) == (7, 9)


@pytest.mark.parametrize(
    ("size", "part"),
    [((500, 375), (62, 0, 437, 375)), ((375, 500), (0, 62, 375, 437)), ((640, 431), (104, 0, 535, 431))],
)
def test_the_largest_centred_square_is_cut_out_first(size: tuple[int, int], part: tuple[int, int, int, int]) -> None:
    assert CropSquash(width_px=299, height_px=299).part(*size) == part


@given(width=SIDE, height=SIDE, to_width=st.integers(1, 600), to_height=st.integers(1, 600))
def test_a_part_that_is_cut_out_first_lies_in_the_middle_and_is_as_large_as_fits(
    width: int, height: int, to_width: int, to_height: int
) -> None:
    rule = CropSquash(width_px=to_width, height_px=to_height)
    left, top, right, bottom = rule.part(width, height)
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    assert abs(left - (width - right)) <= 1
    assert abs(top - (height - bottom)) <= 1
    assert right - left == width or bottom - top == height
    assert abs((right - left) * to_height - (bottom - top) * to_width) <= max(to_height, to_width) or 1 in (
        right - left,
        bottom - top,
    )


@given(width=SIDE, height=SIDE, crop_width=st.integers(1, 600), crop_height=st.integers(1, 600))
def test_a_crop_has_its_size_and_sits_in_the_middle(width: int, height: int, crop_width: int, crop_height: int) -> None:
    for offset in ("round", "floor"):
        crop = CenterCrop(width_px=crop_width, height_px=crop_height, offset=offset)
        left, top, right, bottom = crop.box(width, height)
        assert (right - left, bottom - top) == (crop_width, crop_height)
        assert abs(left - (width - right)) <= 1
        assert abs(top - (height - bottom)) <= 1


@pytest.mark.parametrize(
    ("offset", "margin", "left"), [("round", 7, 4), ("round", 5, 2), ("floor", 7, 3), ("floor", 5, 2)]
)
def test_half_a_pixel_is_rounded_to_even_or_floored(offset: str, margin: int, left: int) -> None:
    assert CenterCrop(width_px=10, height_px=1, offset=offset).box(10 + margin, 1)[0] == left


@given(
    width=st.integers(1, 60),
    height=st.integers(1, 60),
    px=st.integers(1, 40),
    crop=st.integers(1, 40),
    gray=st.booleans(),
)
def test_any_image_becomes_the_announced_size(width: int, height: int, px: int, crop: int, gray: bool) -> None:
    channels = 1 if gray else 3
    preprocess = Preprocess(
        color="gray" if gray else "rgb",
        resize=ShorterSide(px=px),
        crop=CenterCrop(width_px=crop, height_px=crop + 1),
        mean=(0.5,) * channels,
        std=(0.5,) * channels,
    )
    pixels = preprocess(picture(width, height))
    assert pixels.shape == (channels, *(preprocess.output_px or ()))
    assert pixels.dtype == np.float32
    assert pixels.min() >= -1
    assert pixels.max() <= 1


def test_the_result_is_torchvisions_definition_step_by_step() -> None:
    image = picture(50, 41, seed=3)
    preprocess = Preprocess(
        resize=ShorterSide(px=36),
        crop=CenterCrop(width_px=32, height_px=30),
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
    )
    resized = image.resize((43, 36), Image.Resampling.BICUBIC).crop((6, 3, 38, 33))
    expected = (np.asarray(resized, np.float64) / 255 - preprocess.mean) / preprocess.std
    np.testing.assert_allclose(preprocess(image), expected.transpose(2, 0, 1), atol=1e-6)


@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize("color", ["rgb", "bgr", "gray"])
@pytest.mark.parametrize("resize", [Squash(width_px=30, height_px=40), CropSquash(width_px=31, height_px=20), None])
def test_rounded_fractions_are_within_a_step_of_eight_bits(
    antialias: bool, color: str, resize: Squash | CropSquash | None
) -> None:
    rows = {"mean": (0.5,), "std": (0.5,)} if color == "gray" else {}
    rules = {"color": color, "resize": resize, "interpolation": "bilinear", "antialias": antialias, **rows}
    whole = Preprocess(**rules, crop=CenterCrop(width_px=44, height_px=35))
    exact = msgspec.structs.replace(whole, fractions=True).resized(picture(61, 47))
    assert exact.dtype == np.float32
    assert whole.resized(picture(61, 47)).dtype == np.uint8
    assert np.abs(exact - whole.resized(picture(61, 47)).astype(int)).max() <= 1
    assert (exact % 1 != 0).any() == (resize is not None)


def test_fractions_of_a_bicubic_resize_reach_beyond_black_and_white() -> None:
    edges = Image.fromarray(np.tile(np.uint8([0, 0, 0, 0, 255, 255, 255, 255]), (64, 8)))
    levels = Preprocess(resize=Squash(width_px=50, height_px=64), fractions=True).resized(edges)
    assert levels.min() < -5
    assert levels.max() > 260
    assert whole_levels(levels).dtype == np.uint8
    assert (whole_levels(levels).min(), whole_levels(levels).max()) == (0, 255)


def test_bgr_is_rgb_with_the_channels_reversed() -> None:
    image = picture()
    rgb, bgr = (Preprocess(color=color)(image) for color in ("rgb", "bgr"))
    assert np.array_equal(bgr, rgb[::-1])
    assert not np.array_equal(bgr, rgb)


def test_mean_and_deviation_belong_to_the_channels_in_output_order() -> None:
    image = Image.new("RGB", (2, 2), (255, 0, 0))
    pixels = Preprocess(color="bgr", mean=(0.0, 0.0, 0.5), std=(1.0, 1.0, 0.25))(image)
    assert pixels[:, 0, 0].tolist() == [0, 0, 2]


def test_every_value_is_normalised_as_the_formula_says() -> None:
    preprocess = Preprocess(color="gray", divisor=127.5, mean=(1.0,), std=(2.0,))
    values = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    np.testing.assert_allclose(preprocess.normalize(values), (values / 127.5 - 1) / 2, atol=1e-7)


def test_a_batch_is_normalised_like_its_images() -> None:
    preprocess = Preprocess(mean=(0.1, 0.2, 0.3), std=(1.0, 2.0, 3.0))
    batch = np.random.default_rng(0).integers(0, 256, (4, 3, 5, 6), np.uint8)
    assert np.array_equal(preprocess.normalize(batch), np.stack([preprocess.normalize(image) for image in batch]))


def test_an_image_smaller_than_the_crop_is_padded_with_black() -> None:
    preprocess = Preprocess(crop=CenterCrop(width_px=6, height_px=6), mean=(0.0,) * 3, std=(1.0,) * 3)
    pixels = preprocess(Image.new("RGB", (2, 2), (255, 255, 255)))
    assert pixels.sum() == 3 * 4
    assert (pixels[:, 2:4, 2:4] == 1).all()


def test_without_a_rule_the_image_keeps_its_size() -> None:
    preprocess = Preprocess()
    assert preprocess.output_px is None
    assert preprocess(picture(13, 7)).shape == (3, 7, 13)


@pytest.mark.parametrize(
    ("preprocess", "size"),
    [
        (Preprocess(resize=ShorterSide(px=8)), None),
        (Preprocess(resize=Squash(width_px=8, height_px=9)), (9, 8)),
        (Preprocess(resize=Squash(width_px=8, height_px=9), crop=CenterCrop(width_px=4, height_px=5)), (5, 4)),
    ],
)
def test_the_output_size_is_known_where_the_rules_fix_it(preprocess: Preprocess, size: tuple[int, int] | None) -> None:
    assert preprocess.output_px == size


@pytest.mark.parametrize("size", [(1, 30_000), (30_000, 1), (3, 9_000)])
def test_a_sliver_that_would_grow_beyond_memory_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(DecodeError, match=f"{size[0]}x{size[1]} px .* would become .* px"):
        Preprocess(resize=ShorterSide(px=299))(Image.new("RGB", size))


def test_a_sliver_that_does_not_grow_is_taken() -> None:
    preprocess = Preprocess(resize=Squash(width_px=8, height_px=8))
    assert preprocess(Image.new("RGB", (1, 30_000))).shape == (3, 8, 8)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mean": (0.5,)}, "1 means and 3 deviations; expected 3 of each for rgb"),
        ({"color": "gray"}, "expected 1 of each for gray"),
        ({"std": (0.5, 0.0, 0.5)}, "divides by zero"),
        ({"divisor": 0.0}, "divides by zero"),
        ({"antialias": False}, "bicubic without antialias is not defined"),
        ({"resize": ShorterSide(px=0)}, "a size below one pixel"),
        ({"crop": CenterCrop(width_px=8, height_px=-1)}, "a size below one pixel"),
    ],
)
def test_settings_without_meaning_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Preprocess(**settings)


def test_a_description_comes_back_from_json_as_it_was() -> None:
    preprocess = Preprocess(
        resize=Squash(width_px=8, height_px=9), crop=CenterCrop(width_px=4, height_px=5), divisor=1.0
    )
    assert msgspec.json.decode(msgspec.json.encode(preprocess), type=Preprocess) == preprocess


def test_without_antialias_a_shrunk_image_is_made_of_two_source_pixels_a_side() -> None:
    stripes = np.zeros((1, 16), np.uint8)
    stripes[0, 0] = 255
    # Targets lie at 1.5, 5.5, ...: no target looks at column 0, however wide an antialiasing filter would reach.
    assert not resize_bilinear(stripes, 4, 1).any()
    assert resize_bilinear(np.roll(stripes, 1), 4, 1).tolist() == [[128, 0, 0, 0]]


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 255))
def test_a_flat_image_stays_flat_without_antialias(width: int, height: int, value: int) -> None:
    flat = np.full((7, 9, 3), value, np.uint8)
    assert np.abs(resize_bilinear(flat, width, height).astype(int) - value).max() <= 1


@given(st.integers(1, 40), st.integers(1, 40))
def test_bilinear_is_within_one_of_the_real_formula(width: int, height: int) -> None:
    pixels = np.random.default_rng(width * 41 + height).integers(0, 256, (11, 13), np.uint8)
    rows, columns = exact_taps(11, height), exact_taps(13, width)
    expected = rows @ pixels.astype(np.float64) @ columns.T
    assert np.abs(resize_bilinear(pixels, width, height) - expected).max() <= 1


@given(st.integers(1, 40), st.integers(1, 40), st.booleans(), st.data())
def test_a_part_of_a_bilinear_resize_is_that_part(width: int, height: int, gray: bool, data: st.DataObject) -> None:
    pixels = np.random.default_rng(width).integers(0, 256, (11, 13) if gray else (11, 13, 3), np.uint8)
    left, top = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    right, bottom = data.draw(st.integers(left + 1, width)), data.draw(st.integers(top + 1, height))
    part = resize_bilinear(pixels, width, height, (left, top, right, bottom))
    assert np.array_equal(part, resize_bilinear(pixels, width, height)[top:bottom, left:right])


def exact_taps(source: int, target: int) -> np.ndarray:
    matrix = np.zeros((target, source))
    for row in range(target):
        centre = (row + 0.5) * source / target - 0.5
        low = int(np.floor(centre))
        for position, weight in ((low, 1 - (centre - low)), (low + 1, centre - low)):
            matrix[row, min(max(position, 0), source - 1)] += weight
    return matrix


@pytest.mark.parametrize(("share", "px", "crop"), [(1.0, 333, (299, 299)), (0.5, 166, (150, 150)), (1e-9, 1, (1, 1))])
def test_all_sizes_are_scaled_alike_in_whole_pixels(share: float, px: int, crop: tuple[int, int]) -> None:
    whole = Preprocess(resize=ShorterSide(px=333, long_side="round"), crop=CenterCrop(width_px=299, height_px=299))
    part = whole.scaled(share)
    assert part.resize == ShorterSide(px=px, long_side="round")
    assert part.output_px == crop
    assert Preprocess(resize=Squash(width_px=80, height_px=40)).scaled(0.8).output_px == (32, 64)
    assert Preprocess().scaled(0.5) == Preprocess()
