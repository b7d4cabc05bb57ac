"""`xception data inputs`"""

from typing import Annotated

from cyclopts import Parameter

from xception.cli.models import check_order, open_model
from xception.cli.options import Data, MaxFailed, ModelOption, NoVerify, Out, Unlabelled, check_failed
from xception.cli.output import Watched, print_facts, say
from xception.cli.progress import progress_bar
from xception.data.folder import image_files
from xception.data.sources import open_source, packages_for
from xception.extras import require_all
from xception.tasks.vendor_inputs import InputVendor, write_inputs


def data_inputs(
    model: ModelOption,
    data: Data,
    /,
    *,
    vendor: Annotated[InputVendor, Parameter(help="Vendor whose tools read or wrote the files.")],
    out: Out,
    unlabelled: Unlabelled = False,
    max_failed: MaxFailed = None,
    no_verify: NoVerify = False,
) -> None:
    """Write a data set as input files of a vendor's tools: .bin and .info for Ascend, .npz and a datalist for VastAI.

    ```
    xception data inputs runs/photos/bundle photos/val --vendor ascend --out bins
    xception data inputs timm_xception val --vendor vastai --out npz
    ```

    Args:
    """
    check_order("data inputs", model, data)
    require_all(*packages_for(data))
    opened = open_model(model, verify=not no_verify)
    source = image_files([data]) if unlabelled else open_source(data)
    with progress_bar() as progress:
        watched = Watched(source, progress, "writing")
        written = write_inputs(vendor, out, watched, opened.model.preprocess, opened.labels)
    failed = len(written.failures)
    print_facts({"folder": str(out), "images": f"{written.seen + failed} = {written.seen} written + {failed} failed"})
    for failure in written.failures:
        say(f"failed: {failure.key}: {failure.reason}")
    check_failed(written.seen, failed, max_failed)
