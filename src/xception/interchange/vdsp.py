"""`vdsp_params` of VastAI: the one operation by which the chip makes a network's input of an RGB image.

It resizes to a fixed size whatever the aspect ratio, looks at two source pixels however much it shrinks, crops at a
fixed corner and normalises in half precision. What a model expects is often something else; see `departures`.
"""

from pathlib import Path
from typing import Literal

import msgspec
import numpy as np

from xception import inputs
from xception.errors import InputError, UsageError
from xception.outputs import json_document
from xception.preprocess import CenterCrop, CropSquash, Preprocess, ShorterSide, Squash

OPERATION = "FUSION_OP_RGB_RESIZE_CVTCOLOR_CROP_NORM_TENSOR"


class OpConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="pascal"):
    """Sizes in pixels; mean and deviation of each channel, rounded to half precision."""

    iimage_format: str = "RGB_PLANAR"
    iimage_width: int
    iimage_height: int
    oimage_width: int
    oimage_height: int
    crop_x: int
    crop_y: int
    resize_width: int
    resize_height: int
    iimage_width_pitch: int
    iimage_height_pitch: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    norma_type: Literal["DIV255_MINUSMEAN_DIVSTD", "MINUSMEAN_DIVSTD"]
    color_cvt_code: str = "NO_CHANGE"
    resize_type: str = "BILINEAR_CV"


class VdspParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="pascal"):
    """The file."""

    op_type: str = OPERATION
    op_config: OpConfig


def expressible(preprocess: Preprocess) -> Preprocess:
    """The nearest that the operation can do: a squash to the size of the shorter side, OpenCV's bilinear resize.

    Raises:
        UsageError: the model takes no RGB images, or no fixed size, or cuts images before they are resized.
    """
    if preprocess.color != "rgb" or preprocess.output_px is None:
        size = "x".join(map(str, preprocess.output_px)) + " px" if preprocess.output_px else "any size"
        raise UsageError(
            f"VastAI's preprocessing makes RGB images of a fixed size; the model takes {preprocess.color} images of "
            f"{size}: prepare them before the chip, with an export to onnx"
        )
    height, width = preprocess.output_px
    resize = preprocess.resize
    if isinstance(resize, CropSquash):
        raise UsageError(
            "VastAI's preprocessing cannot cut an image before it resizes it, as the model's crop_squash does; prepare "
            "images before the chip, with an export to onnx"
        )
    if isinstance(resize, ShorterSide):
        resize = Squash(width_px=resize.px, height_px=resize.px)
    resize = resize or Squash(width_px=width, height_px=height)
    crop = CenterCrop(width_px=width, height_px=height, offset=preprocess.crop.offset if preprocess.crop else "floor")
    left, top, *_ = crop.box(resize.width_px, resize.height_px)
    if left < 0 or top < 0:
        raise UsageError(
            f"VastAI's preprocessing cannot pad {resize.width_px}x{resize.height_px} px; crop a smaller part"
        )
    divisor, mean, std = _normalization(preprocess)
    return Preprocess(
        orientation=preprocess.orientation,
        resize=resize,
        interpolation="bilinear",
        antialias=False,
        crop=crop,
        divisor=divisor,
        mean=mean,
        std=std,
    )


def _normalization(preprocess: Preprocess) -> tuple[float, tuple[float, ...], tuple[float, ...]]:
    """Divisor, mean and deviation, in half precision. The operation knows the divisors 255 and 1."""
    scale = 1.0 if preprocess.divisor == 255 else preprocess.divisor
    halves = [
        np.array([value * scale for value in row], np.float16).tolist() for row in (preprocess.mean, preprocess.std)
    ]
    return (255.0 if preprocess.divisor == 255 else 1.0), tuple(halves[0]), tuple(halves[1])


def vdsp_departures(preprocess: Preprocess) -> list[str]:
    """The differences between a model's preprocessing and the operation's, in words."""
    found = []
    if isinstance(preprocess.resize, ShorterSide):
        px = preprocess.resize.px
        found.append(f"the image is squashed to {px}x{px} px instead of its shorter side becoming {px} px")
    if preprocess.resize is None:
        found.append("the image is squashed to the input's size instead of being cropped as it is")
    if preprocess.interpolation != "bilinear" or preprocess.antialias:
        how = f"{preprocess.interpolation} {'with' if preprocess.antialias else 'without'} antialias"
        found.append(f"it is resized bilinearly without antialias instead of {how}")
    if preprocess.fractions:
        found.append("what the resize computes is rounded to whole levels")
    nearest = expressible(preprocess)
    same = preprocess.divisor == nearest.divisor and (preprocess.mean, preprocess.std) == (nearest.mean, nearest.std)
    if not same and not _same_values(preprocess, nearest):
        found.append("mean and deviation are rounded to half precision")
    return found


def _same_values(first: Preprocess, second: Preprocess) -> bool:
    values = np.arange(256, dtype=np.uint8)[None, None].repeat(3, 0)
    return bool(np.allclose(first.normalize(values), second.normalize(values), rtol=0, atol=1e-6))


def params_of(preprocess: Preprocess) -> VdspParams:
    """The operation that does what `expressible` makes of a preprocessing.

    Raises:
        UsageError: see `expressible`.
    """
    nearest = expressible(preprocess)
    resize, crop = nearest.resize, nearest.crop
    if not isinstance(resize, Squash) or crop is None:
        raise UsageError("VastAI's preprocessing needs a size to resize to and a crop")
    left, top, *_ = crop.box(resize.width_px, resize.height_px)
    return VdspParams(
        op_config=OpConfig(
            iimage_width=resize.width_px,
            iimage_height=resize.height_px,
            iimage_width_pitch=resize.width_px,
            iimage_height_pitch=resize.height_px,
            oimage_width=crop.width_px,
            oimage_height=crop.height_px,
            crop_x=left,
            crop_y=top,
            resize_width=resize.width_px,
            resize_height=resize.height_px,
            mean=_three(nearest.mean),
            std=_three(nearest.std),
            norma_type="DIV255_MINUSMEAN_DIVSTD" if nearest.divisor == 255 else "MINUSMEAN_DIVSTD",
        )
    )


def _three(values: tuple[float, ...]) -> tuple[float, float, float]:
    first, second, third = values
    return first, second, third


def vdsp_preprocess(params: VdspParams) -> Preprocess:
    """The preprocessing that the operation does.

    Raises:
        InputError: another operation, or a crop that is not the middle.
    """
    config = params.op_config
    known = (params.op_type, config.iimage_format, config.color_cvt_code, config.resize_type)
    if known != (OPERATION, "RGB_PLANAR", "NO_CHANGE", "BILINEAR_CV"):
        raise InputError(f"the vdsp_params do {' '.join(known)}; expected {OPERATION} on RGB without colour conversion")
    size = (config.resize_width, config.resize_height)
    for offset in ("floor", "round"):
        crop = CenterCrop(width_px=config.oimage_width, height_px=config.oimage_height, offset=offset)
        if crop.box(*size)[:2] == (config.crop_x, config.crop_y):
            return Preprocess(
                resize=Squash(width_px=size[0], height_px=size[1]),
                interpolation="bilinear",
                antialias=False,
                crop=crop,
                divisor=255.0 if config.norma_type.startswith("DIV255") else 1.0,
                mean=config.mean,
                std=config.std,
            )
    raise InputError(f"the vdsp_params crop at ({config.crop_x}, {config.crop_y}); expected the middle of {size}")


def write_params(file: Path, params: VdspParams) -> None:
    """Write the parameters to a JSON file."""
    file.write_bytes(json_document(params, indent=4))


def read_params(file: Path) -> VdspParams:
    """The inverse of `write_params`.

    Raises:
        InputError: it is no such file.
    """
    try:
        return inputs.parse_json(inputs.read_bytes(file, inputs.DOCUMENT_LIMIT), VdspParams)
    except (OSError, msgspec.DecodeError) as error:
        raise InputError(f"{file} is no vdsp_params file of VastAI: {error}") from error
