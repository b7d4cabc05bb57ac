"""`xception oip-check`"""

from typing import Annotated

from cyclopts import Parameter

from xception.cli.options import Json
from xception.cli.output import print_json, print_rows, say
from xception.cli.servers import DEFAULT_ACCESS, ServedTensor, ServerAccess
from xception.errors import CheckFailed
from xception.oip.conformance import check_server
from xception.oip.subject import Subject


def oip_check(
    url: str,
    /,
    *,
    model: Annotated[str, Parameter(help="Name of the model on the server.")],
    tensor: ServedTensor = None,
    access: ServerAccess = DEFAULT_ACCESS,
    json: Json = False,
) -> None:
    """Check any server of the Open Inference Protocol v2 over HTTP, rule by rule; exit code 1 if one is broken.

    ```
    xception oip-check http://127.0.0.1:8000 --model digits
    ```

    Args:
        url: Address of the server, without /v2 and what follows.
    """
    subject = Subject(access.client(url), model, tensor)
    findings = list(check_server(subject))
    broken = [finding for finding in findings if finding.verdict == "broken"]
    if json:
        print_json({"url": url, "model": model, "rules": findings, "passed": not broken})
    else:
        rows = [(one.rule, one.verdict, one.reason or one.words) for one in findings]
        print_rows(("rule", "verdict", "because"), rows, prose=True)
    if broken:
        raise CheckFailed(f"{len(broken)} of {len(findings)} rules are broken: {', '.join(one.rule for one in broken)}")
    say(f"{url} keeps the {sum(one.verdict == 'kept' for one in findings)} rules that could be asked")
