"""The line of the log, and the figures, of every request that was replied to."""

import logging
import time

import msgspec

from xception.serve.measures import Measures

_logger = logging.getLogger(__name__)


def account(measures: Measures, *, request_id: str, key: str, route: str, status: int, began_s: float) -> None:
    """Count and log a request; what its client wrote is no part of it, but for an identifier that was looked at.

    Args:
        measures: the service's figures.
        request_id: its identifier.
        key: the name of its key, or a hyphen.
        route: the name of what was asked.
        status: that of HTTP, for gRPC, too.
        began_s: when it came, by `time.perf_counter`.
    """
    seconds = time.perf_counter() - began_s
    measures.count_request(route, status, seconds)
    line = {"request": request_id, "key": key, "route": route, "status": status, "ms": round(1000 * seconds, 3)}
    _logger.info("%s", msgspec.json.encode(line).decode())
