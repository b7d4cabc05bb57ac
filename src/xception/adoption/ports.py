"""The input for images and the output with the answers, found among those of a graph."""

from collections.abc import Sequence
from dataclasses import dataclass

from xception.adoption.outline import GraphOutline, GraphPort, refuse
from xception.backends.graphs import answers_per_image
from xception.errors import UsageError
from xception.forms import Layout

IMAGE_CHANNELS = (1, 3)
"""Channels of gray and of colour images."""

CHANNEL_AXIS: dict[Layout, int] = {"nchw": 1, "nhwc": 3}

FLAGS = {"input": "input", "output": "answers"}
"""Options that choose an input or output."""

REAL = ("float32", "float16", "float64")
STORED_INTEGERS = ("uint8", "int8")


@dataclass(frozen=True, kw_only=True)
class ImageInput:
    """The input as the bundle describes it: sizes are None where they are free."""

    port: GraphPort
    layout: Layout
    batch_size: int | None
    channels: int | None
    size_px: tuple[int | None, int | None]
    """(height, width)"""

    @property
    def is_image(self) -> bool:
        """True for 8-bit images, which the graph normalises by itself."""
        return self.port.dtype == "uint8" and not self.port.is_quantized


def image_input(outline: GraphOutline, name: str | None, layout: Layout | None) -> ImageInput:
    """The input that takes images.

    Raises:
        UsageError: there are several, or the order of its axes is open or is stated wrongly.
        InputError: it takes something else than a batch of images.
    """
    port = _chosen(outline, outline.inputs, name, "input", "takes")
    if len(outline.inputs) > 1:
        others = ", ".join(str(other) for other in outline.inputs if other is not port)
        raise refuse(
            outline.path,
            f"it takes {others}, too, but a classifier gets only images",
            "export it with constants in place of these inputs",
        )
    if port.dtype not in REAL and port.dtype not in STORED_INTEGERS:
        raise refuse(outline.path, f"its input is {port}", "expected images as real numbers or in 8 bits")
    if port.dtype == "int8" and not port.is_quantized:
        raise refuse(outline.path, f"its input is {port} without a scale", "expected uint8, or a scale in the file")
    shape = port.shape or (None,) * 4
    if len(shape) != 4:
        raise refuse(outline.path, f"its input is {port}", "expected a batch of images, which has four axes")
    chosen = _layout(outline, port, shape, layout)
    height, width = (shape[2], shape[3]) if chosen == "nchw" else (shape[1], shape[2])
    channels = shape[CHANNEL_AXIS[chosen]]
    return ImageInput(port=port, layout=chosen, batch_size=shape[0], channels=channels, size_px=(height, width))


def answer_output(outline: GraphOutline, name: str | None) -> GraphPort:
    """The output that holds the answers.

    Raises:
        UsageError: there are several.
        InputError: it holds something else than numbers for classes.
    """
    port = _chosen(outline, outline.outputs, name, "output", "gives")
    if port.dtype not in REAL and not (port.dtype in STORED_INTEGERS and port.is_quantized):
        raise refuse(
            outline.path,
            f"its output is {port}, which is no score for each class",
            "name an output with a score for each class with --answers, or export one",
        )
    if port.shape is not None and len([size for size in port.shape[1:] if size != 1]) > 1:
        raise refuse(outline.path, f"its output is {port}", "expected one number for each class of an image")
    return port


def stated_classes(port: GraphPort, batch_size: int | None) -> int | None:
    """The number of classes, as far as the output's shape tells."""
    return answers_per_image(port.shape or (), batch_size)


def _chosen(outline: GraphOutline, ports: Sequence[GraphPort], name: str | None, kind: str, verb: str) -> GraphPort:
    found = [port for port in ports if name in (None, port.name)]
    if len(found) == 1:
        return found[0]
    shown = "; ".join(map(str, ports)) or "nothing"
    if name is not None:
        raise UsageError(f"{outline.path} has no {kind} {name!r}; it {verb} {shown}")
    if not ports:
        raise refuse(outline.path, f"it has no {kind}", "export it again")
    raise UsageError(f"{outline.path} {verb} {shown}; choose one with --{FLAGS[kind]} NAME")


def _layout(outline: GraphOutline, port: GraphPort, shape: Sequence[int | None], wanted: Layout | None) -> Layout:
    sizes = {layout: shape[axis] for layout, axis in CHANNEL_AXIS.items()}
    if wanted:
        if sizes[wanted] not in (None, *IMAGE_CHANNELS):
            raise UsageError(
                f"--layout {wanted} makes {sizes[wanted]} channels of the input {port}; images have 1 or 3, "
                "so leave it out"
            )
        return wanted
    certain = [layout for layout, size in sizes.items() if size in IMAGE_CHANNELS]
    possible = certain or [layout for layout, size in sizes.items() if size is None]
    if len(possible) == 1:
        return possible[0]
    if not possible:
        raise refuse(outline.path, f"its input {port} has neither 1 nor 3 channels", "expected gray or colour images")
    raise UsageError(
        f"the input {port} of {outline.path} may have its channels first or last; say so with --layout nchw or nhwc"
    )
