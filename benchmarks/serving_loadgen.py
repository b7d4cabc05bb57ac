"""MLPerf's Server scenario against a server: python serving_loadgen.py PORT PHOTO QUERIES_PER_S QUERIES

Run in an environment that has mlperf_loadgen, such as that of `make clients`, and nothing of this package. It prints
one JSON document: LoadGen's own 99th percentile, and how many queries were not answered.
"""

import http.client
import json
import re
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import mlperf_loadgen as loadgen

CLIENTS = 64
P99 = re.compile(r"99\.00 percentile latency \(ns\)\s*:\s*(\d+)")


def main(port: str, photo: str, queries_per_s: str, queries: str) -> None:
    body, statuses = Path(photo).read_bytes(), []

    def answer(query_id: int) -> None:
        with closing(http.client.HTTPConnection("127.0.0.1", int(port), timeout=60)) as connection:
            try:
                connection.request("POST", "/v1/classify", body)
                reply = connection.getresponse()
                reply.read()
                statuses.append(reply.status)
            except (OSError, http.client.HTTPException):
                statuses.append(0)
        loadgen.QuerySamplesComplete([loadgen.QuerySampleResponse(query_id, 0, 0)])

    settings = loadgen.TestSettings()
    settings.scenario, settings.mode = loadgen.TestScenario.Server, loadgen.TestMode.PerformanceOnly
    settings.server_target_qps = float(queries_per_s)
    settings.min_query_count = settings.max_query_count = int(queries)
    settings.min_duration_ms = 0
    log = loadgen.LogSettings()
    with ThreadPoolExecutor(CLIENTS) as pool, tempfile.TemporaryDirectory() as folder:
        log.log_output.outdir = folder
        tested = loadgen.ConstructSUT(
            lambda asked: [pool.submit(answer, query.id) for query in asked] and None, lambda: None
        )
        library = loadgen.ConstructQSL(1, 1, lambda _: None, lambda _: None)
        loadgen.StartTestWithLogSettings(tested, library, settings, log)
        loadgen.DestroyQSL(library)
        loadgen.DestroySUT(tested)
        found = P99.search((Path(folder) / "mlperf_log_summary.txt").read_text())
    p99_s = int(found[1]) / 1e9 if found else float("nan")
    print(json.dumps({"p99_s": p99_s, "failed": sum(status != 200 for status in statuses), "queries": len(statuses)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
