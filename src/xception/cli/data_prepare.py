"""`xception data prepare`"""

from pathlib import Path

from xception.cli.options import Json, NotIn, Out
from xception.cli.output import command, print_facts, print_json, propose, say
from xception.cli.progress import progress_bar
from xception.data.calibration import CalibrationSet, write_sample
from xception.data.prepare import PreparedFolder, prepare_imagenet
from xception.data.sources import open_source, packages_for
from xception.errors import UsageError
from xception.extras import require_all


def data_prepare(
    source: str,
    /,
    *,
    out: Out,
    truth: str | None = None,
    expect: int | None = None,
    sample: int | None = None,
    not_in: NotIn = (),
    seed: int | None = None,
    json: Json = False,
) -> None:
    r"""Sort ImageNet's downloads into one folder per class, or draw images to calibrate on.

    ```
    xception data prepare downloads/ --out imagenet
    xception data prepare ILSVRC2012_img_val.tar \
        --truth ILSVRC2012_devkit_t12.tar.gz --out imagenet/val
    xception data prepare imagenet/train --sample 1000 \
        --not-in imagenet/val --out calibration
    ```

    An interrupted run continues when it is started again. The counts are those of all files that lie there.

    Args:
        source: ILSVRC2012_img_train.tar, ILSVRC2012_img_val.tar, or a folder with either or with unsorted images.
            With --sample, a data set in any form.
        truth: True classes of the images: val_label.txt, or the development kit as a folder or an archive (default:
            the one that lies next to the images).
        expect: Number of images in the archive, if it is only a part of ImageNet (default: as many as the labels
            list, or as ImageNet has for training).
        sample: Number of images to draw instead, from each class in turn; 1000 is one per class of ImageNet.
        seed: Number from which the draw follows (default: 0).
    """
    if sample is None:
        if not_in or seed is not None:
            raise UsageError("--not-in and --seed choose images to calibrate on; expected --sample COUNT with them")
        _sort(Path(source), out, truth, expect, json=json)
        return
    if truth is not None or expect is not None:
        raise UsageError("--truth and --expect are for ImageNet's archives; leave them out with --sample")
    require_all(*packages_for(source, *not_in))
    apart = [open_source(data) for data in not_in]
    drawn = write_sample(open_source(source), out, sample, not_in=apart, seed=seed or 0)
    if json:
        print_json(drawn)
        return
    _print_drawn(drawn, out)


def _sense(drawn: CalibrationSet) -> str:
    """The rule by which images of the sets of --not-in were recognised."""
    if drawn.look_alikes:
        return ", nor looks like an image there"
    return ", as the same file; install imagehash to find images that look alike too"


def _sort(source: Path, out: Path, truth: str | None, expect: int | None, *, json: bool) -> None:
    with progress_bar() as progress:
        task = progress.add_task("sorting", total=expect)
        found = prepare_imagenet(
            source,
            out,
            truth=truth,
            expect=expect,
            on_image=lambda count: progress.update(task, completed=count),
        )
    if json:
        print_json({"folders": found})
        return
    for row in found:
        print_facts(_facts(row))
    propose(command("data", "check", found[-1].folder))


def _facts(row: PreparedFolder) -> dict[str, str]:
    return {
        "folder": row.folder,
        "images": f"{row.images:,} in {row.classes:,} classes = {row.written:,} written + {row.kept:,} there before",
    }


def _print_drawn(drawn: CalibrationSet, out: Path) -> None:
    print_facts(
        {
            "folder": str(out),
            "images": f"{len(drawn.images):,} of {drawn.classes:,} classes, seed {drawn.seed}",
            "passed over": f"{drawn.passed_over:,}",
            "none is in": f"{', '.join(drawn.not_in)}{_sense(drawn)}" if drawn.not_in else "-",
        }
    )
    if not drawn.not_in:
        say("to leave out images that models are tested on, name their sets with --not-in")
    propose(command("quantize", "BUNDLE", "--calibration", out, "--out", "BUNDLE-int8"))
