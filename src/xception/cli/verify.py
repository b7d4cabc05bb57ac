"""`xception verify`"""

from pathlib import Path

from xception.bundle import open_bundle
from xception.cli.options import Json
from xception.cli.output import print_facts, print_json
from xception.extras import require_all
from xception.signature import SIGNING_PACKAGES, verify_signature


def verify_bundle(bundle: Path, /, *, public_key: Path, json: Json = False) -> None:
    """Say whether the owner of a key has signed a bundle as it is; exit code 1 if not.

    ```
    xception verify digits-onnx --public-key public.pem
    ```

    Args:
        bundle: The bundle. Every byte of it is verified first; exit code 3 says that it is not whole.
        public_key: The signer's key in PEM. Get it by another way than the bundle.
    """
    require_all(*SIGNING_PACKAGES)
    opened = open_bundle(bundle)
    verify_signature(opened, public_key)
    facts = {"bundle": str(opened.path), "digest": opened.model.digest, "signed_by": str(public_key)}
    if json:
        print_json(facts)
    else:
        print_facts({name.replace("_", " "): value for name, value in facts.items()})
