"""MLPerf's load generator, as its Server scenario asks: requests of a Poisson process, whoever is still waiting."""

import http.client
import json
from concurrent.futures import ThreadPoolExecutor

import mlperf_loadgen as loadgen
from conftest import Served

QUERIES = 200


def test_every_query_of_the_server_scenario_is_answered(served: Served, tmp_path_factory: object) -> None:
    photos = [path.read_bytes() for path in served.photos]
    seen: list[tuple[int, str]] = []
    pool = ThreadPoolExecutor(16)

    def answer(query: object) -> None:
        connection = http.client.HTTPConnection(served.host, timeout=60)
        connection.request("POST", "/v1/classify?model=digits", photos[query.index])
        reply = connection.getresponse()
        document = json.loads(reply.read())
        seen.append(
            (query.index, document["results"][0]["top"][0]["label"] if reply.status == 200 else str(reply.status))
        )
        connection.close()
        loadgen.QuerySamplesComplete([loadgen.QuerySampleResponse(query.id, 0, 0)])

    settings = loadgen.TestSettings()
    settings.scenario = loadgen.TestScenario.Server
    settings.mode = loadgen.TestMode.PerformanceOnly
    settings.server_target_qps = 20
    settings.server_target_latency_ns = 10_000_000_000
    settings.min_query_count = settings.max_query_count = QUERIES
    settings.min_duration_ms = 0
    log = loadgen.LogSettings()
    log.log_output.outdir = str(tmp_path_factory.mktemp("loadgen"))
    tested = loadgen.ConstructSUT(lambda queries: [pool.submit(answer, query) for query in queries], lambda: None)
    library = loadgen.ConstructQSL(len(photos), len(photos), lambda _: None, lambda _: None)
    loadgen.StartTestWithLogSettings(tested, library, settings, log)
    loadgen.DestroyQSL(library)
    loadgen.DestroySUT(tested)
    pool.shutdown()
    assert len(seen) == QUERIES
    assert {label == served.labels[index] for index, label in seen} == {True}
