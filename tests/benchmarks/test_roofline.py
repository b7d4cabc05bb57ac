from math import inf, isclose, prod

from benchmarks.roofline import Peak, Work, kernels, seconds
from xception.arch.compute import cost, output_shapes
from xception.arch.variants import architecture

SPEC = architecture("timm_xception", num_classes=10, width=0.25)
PX = 65


def test_all_multiply_accumulates_are_counted_for_every_image_with_and_without_fusion() -> None:
    for fused in (False, True):
        assert sum(work.flops for work in kernels(SPEC, PX, 3, 2, fused=fused)) == 2 * 3 * cost(SPEC, PX).macs


def test_the_stem_reads_its_input_and_weights_and_writes_its_output() -> None:
    stem = next(kernels(SPEC, PX, 3, 2))
    written = prod(output_shapes(SPEC, PX, PX)[stem.name])
    assert stem.bytes == 2 * (3 * 3 * PX * PX + SPEC.stem[0].out_channels * 27 + 3 * written)


def test_fusion_saves_writing_and_reading_what_lies_between() -> None:
    shapes = output_shapes(SPEC, PX, PX)
    plain, fused = (list(kernels(SPEC, PX, 3, 2, fused=fused)) for fused in (False, True))
    between = [prod(shapes[work.name]) for work in plain if work.name.endswith(".depthwise")]
    assert len(plain) - len(fused) == len(between) == sum(len(block.units) for block in SPEC.blocks)
    assert sum(work.bytes for work in plain) - sum(work.bytes for work in fused) == 2 * 2 * 3 * sum(between)


def test_units_in_the_other_order_stay_two_kernels() -> None:
    spec = architecture("ppcls_xception41", num_classes=10, width=0.25)
    assert list(kernels(spec, PX, 1, 2, fused=True)) == list(kernels(spec, PX, 1, 2))


def test_a_kernel_takes_as_long_as_the_slower_of_arithmetic_and_memory() -> None:
    work = [Work("a", 100.0, 10.0), Work("b", 10.0, 100.0)]
    assert seconds(work, Peak(flops=10.0, bytes=inf)) == 11.0
    assert isclose(seconds(work, Peak(flops=10.0, bytes=10.0)), 20.0)
