"""`xception sign`"""

import os
from pathlib import Path

from xception.bundle import open_bundle
from xception.cli.options import Overwrite
from xception.cli.output import command, print_facts, propose
from xception.extras import require_all
from xception.signature import SIGNING_PACKAGES, sign_bundle

PASSWORD = "XCEPTION_KEY_PASSWORD"  # noqa: S105  # the name of a variable
"""Environment variable with the password of an encrypted key, which is safe there from the list of processes."""


def sign(bundle: Path, /, *, private_key: Path, overwrite: Overwrite = False) -> None:
    """Sign a bundle, for those who want to know who made it.

    ```
    xception sign digits-onnx --private-key private.pem
    ```

    Args:
        bundle: The bundle; it is verified first.
        private_key: Your elliptic key (P-256, P-384 or P-521) in PEM. XCEPTION_KEY_PASSWORD opens an encrypted one.
    """
    require_all(*SIGNING_PACKAGES)
    opened = open_bundle(bundle)
    place = sign_bundle(opened, private_key, password=os.environ.get(PASSWORD), overwrite=overwrite)
    print_facts({"bundle": str(opened.path), "digest": opened.model.digest, "signature": str(place)})
    propose(command("verify", opened.path, "--public-key", "PUBLIC_KEY"))
