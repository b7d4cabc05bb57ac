"""Ascend's AIPP: normalisation of 8-bit images on the chip, in front of the network."""

from xception.errors import UsageError
from xception.preprocess import Preprocess

FORMATS = {3: "RGB888_U8", 1: "YUV400_U8"}


def config_text(preprocess: Preprocess) -> str:
    """The configuration for images (N, H, W, C) that are already resized and cropped.

    AIPP computes `(value - mean_chn - min_chn) * var_reci_chn`, the latter two in half precision.

    Raises:
        UsageError: the preprocessing fixes no size.
    """
    if preprocess.output_px is None:
        raise UsageError("AIPP needs a fixed image size; expected a crop or a squash")
    height, width = preprocess.output_px
    lines = [
        "aipp_mode : static",
        f"input_format : {FORMATS[preprocess.channels]}",
        f"src_image_size_w : {width}",
        f"src_image_size_h : {height}",
        "csc_switch : false",
        # The images are RGB; a network of BGR images has its channels swapped.
        f"rbuv_swap_switch : {str(preprocess.color == 'bgr').lower()}",
    ]
    for channel, (mean, std) in enumerate(zip(preprocess.mean, preprocess.std, strict=True)):
        lines += [
            f"mean_chn_{channel} : 0",
            f"min_chn_{channel} : {preprocess.divisor * mean:.10g}",
            f"var_reci_chn_{channel} : {1 / (preprocess.divisor * std):.12g}",
        ]
    return "aipp_op {\n" + "".join(f"    {line}\n" for line in lines) + "}\n"
